"""Deploy: make a snapshot the next system to boot, with one commit point (see docs/architecture.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rastos.errors import UserError
from rastos.host import faults, sha256_file
from rastos.kernel import InitramfsPlan, SecureBootKey, initramfs_words, plan_initramfs
from rastos.progress import Progress

from .bios_menu import starts_by_bios, write_bios_menu
from .bootentry import ENTRIES, KERNELS, PENDING, TRIES, entry_name, kernel_options, write_entry
from .bootfiles import boot_stub, kernel_command_line, put_initramfs, put_kernel
from .copying import copy_attributes, copy_missing
from .deployment_checks import Prunable, check_command_line, check_fstab, check_kernel, check_root, plan_room
from .deployment_etc import build_etc, fstab_after, planned_merge, say_updated
from .etc_merge import EtcMerge
from .kernels import TreeKernel, choose_kernel, kernels_in
from .metadata import Deployment, now
from .recovery import KEPT_ETC, collect, drop_deployment, kernels_wanted
from .state_contract import read_contract
from .state_places import StatePlace, make_places, plan_places
from .state_written import NewerState, newer_state
from .store import STATE, Store
from .verdicts import bad_snapshots
from .verify.sealing import require_unchanged

ETC_WAYS = ("merge", "current", "old", "new")
# systemd-debug-generator(8): nothing marks it good, checks run all the same; and a word by which the system knows
TRIAL = "systemd.mask=systemd-bless-boot.service systemd.wants=boot-complete.target rastos.trial"
# what belongs to the package database of a tree, not to the machine's state
NOT_STATE = frozenset({"cache", "tmp"})


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a deploy will do: nothing of it has happened yet.

    `etc_place`: the /etc it starts from, from the top level. `tries`: boots it gets to be found good. `trial`: it boots once, and not again unless kept. `prune`: deployments that
    go first, to make room. `newer`: state that a newer version has written. `bad`: why this snapshot was found bad ("").
    """

    snapshot: int
    description: str
    kernel: str
    kernel_path: str
    kernel_size: int
    kernel_present: bool
    initramfs: InitramfsPlan | None
    initramfs_path: str | None
    initramfs_present: bool
    unified: bool
    etc: str
    etc_from: int | None
    etc_place: str
    merge: EtcMerge
    based_on: int | None
    tries: int = TRIES
    trial: bool = False
    prune: tuple[Prunable, ...] = ()
    state: tuple[StatePlace, ...] = ()
    newer: tuple[NewerState, ...] = ()
    bad: str = ""
    decided: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For --json: without the contents of files."""
        return {**asdict(self), "merge": self.merge.to_json()}


def plan_deploy(
    store: Store,
    snapshot_id: int,
    *,
    etc: str = "merge",
    kernel: str = "",
    unified: bool | None = None,
    tries: int = TRIES,
    trial: bool = False,
    prune: bool = False,
    decided: Mapping[str, str] | None = None,
    accept_newer_state: bool = False,
) -> DeployPlan:
    """Work out a deploy and check all that could stop it: kernel, init program, command line, fstab, space, state.

    `etc`: merge (three-way), current (the running one as it is), old (the last one used with that snapshot) or new
    (pristine). `kernel`: one of several in it (see `kernels.choose_kernel`). `unified`: by a unified kernel image from
    now on, or no longer (None: as this store does). `decided`: paths of /etc whose side was named (ours or theirs). Raises UserError, IntegrityError (parts that
    don't belong together) or HostError (space).
    """
    if etc not in ETC_WAYS:
        raise UserError(f"unknown way for /etc: '{etc}'", next_step=f"choose one of {', '.join(ETC_WAYS)}")
    if not 1 <= tries <= 99:
        raise UserError(f"{tries} tries can't be counted", next_step="choose 1 to 99")
    snapshot = store.snapshot(snapshot_id)
    require_unchanged(store, snapshot.id)
    tree = store.tree(snapshot.id)
    # people edit the /etc that runs, not that of a deployment which waits for its first boot
    current = store.running() or store.current()
    release = choose_kernel(kernels_in(tree), kernel, _booted_before(store, snapshot.id, current))
    vmlinuz = check_kernel(tree, release or snapshot.kernel, snapshot.id)
    kernel_path = f"{KERNELS}/{sha256_file(vmlinuz)[:16]}/vmlinuz"
    unified = bool(store.info.get("uki")) if unified is None else unified
    if unified and starts_by_bios(store.esp):
        raise UserError(
            "a BIOS can't start a unified kernel image, and this disk is for one", next_step="deploy with --no-uki"
        )
    # a unified image holds the number of its deployment: no two are the same
    present = not unified and store.esp.exists(kernel_path)
    size = vmlinuz.stat().st_size + (boot_stub(tree, snapshot.id).stat().st_size if unified else 0)
    initramfs = plan_initramfs(tree, release, words=initramfs_words(str(store.info["cmdline"])))
    check_root(tree, release, snapshot.id, initramfs)
    check_command_line(store, tree, release)
    initramfs_path = f"{KERNELS}/{initramfs.key[:16]}/initramfs" if initramfs and not unified else None
    initramfs_present = initramfs_path is not None and store.esp.exists(initramfs_path)
    room = (0 if present else size) + (initramfs.size if initramfs and not initramfs_present else 0)
    etc, source, place = _etc_source(store, etc, snapshot.id, current)
    merge = EtcMerge()
    if etc == "merge" and current is not None:
        merge = planned_merge(store, current, snapshot.id, decided)
        _check_asked(merge)
    check_fstab(store, snapshot.id, fstab_after(store, etc, place, merge, snapshot.id))
    contract = read_contract(tree, store.top / place)
    newer = newer_state(store, contract)
    _check_newer(newer, accepted=accept_newer_state)
    mark = bad_snapshots(store).get(snapshot.id)
    return DeployPlan(
        snapshot=snapshot.id,
        description=snapshot.description,
        kernel=release,
        kernel_path=kernel_path,
        kernel_size=size,
        kernel_present=present,
        initramfs=initramfs,
        initramfs_path=initramfs_path,
        initramfs_present=initramfs_present,
        unified=unified,
        etc=etc,
        etc_from=source,
        etc_place=place,
        merge=merge,
        based_on=current.number if current else None,
        tries=1 if trial else tries,
        trial=trial,
        prune=plan_room(store, room, prune=prune),
        state=plan_places(store, contract, snapshot.id),
        newer=newer,
        bad=mark.why if mark else "",
        decided=tuple((decided or {}).items()),
    )


def _booted_before(store: Store, snapshot_id: int, current: Deployment | None) -> list[TreeKernel]:
    """The kernels that a choice follows: this snapshot's at its last deployment, then the one that boots now."""
    mine = [item for item in store.deployments() if item.snapshot == snapshot_id]
    earlier = [item for item in (*mine[-1:], current) if item is not None]
    return [
        next(
            (found for found in kernels_in(store.tree(item.snapshot)) if found.release == item.kernel),
            TreeKernel(item.kernel, "", ""),
        )
        for item in earlier
    ]


def _etc_source(store: Store, etc: str, snapshot: int, current: Deployment | None) -> tuple[str, int | None, str]:
    """The way for /etc, the deployment it starts from, and where that /etc is, from the top level."""
    pristine = f"snapshots/{snapshot}/tree/etc"
    if current is None or etc == "new":
        return "new", None, pristine
    if etc != "old":
        return etc, current.number, f"deployments/{current.number}/etc"
    earlier = [item.number for item in store.deployments() if item.snapshot == snapshot]
    if earlier:
        return etc, max(earlier), f"deployments/{max(earlier)}/etc"
    kept = f"snapshots/{snapshot}/{KEPT_ETC}"
    if (store.top / kept).is_dir():
        return etc, None, kept
    raise UserError(
        f"snapshot {snapshot} has not run before, so there is no /etc of it",
        next_step="choose --etc merge, current or new",
    )


def _check_asked(merge: EtcMerge) -> None:
    if merge.asked:
        raise UserError(
            f"the policy of /etc wants you to decide: {', '.join(merge.asked)}",
            next_step=" ".join(f"--decide {path}=ours|theirs" for path in merge.asked),
        )


def _check_newer(newer: tuple[NewerState, ...], *, accepted: bool) -> None:
    refused = [item.words() for item in newer if item.refuse]
    if refused and not accepted:
        raise UserError(
            f"state is newer than this snapshot's programs can read: {'; '.join(refused)}",
            next_step="go to a snapshot with that version, or put the state back and add --accept-newer-state",
        )


def deploy(
    store: Store, plan: DeployPlan, progress: Progress, *, secure_boot: SecureBootKey | None = None
) -> Deployment:
    """Carry a plan out. At every instant at least one boot entry starts a complete deployment.

    `secure_boot` signs a unified kernel image; a kernel by itself is signed when it is built.
    """
    with progress.step(f"Deploying snapshot {plan.snapshot}") as step:
        number = store.take_number("deployment")
        intent = store.journal.begin("deploy", deployment=number, snapshot=plan.snapshot)
        faults.reached("deploy.journaled")
        for item in plan.prune:
            drop_deployment(store, item.deployment)
            faults.reached("deploy.pruned")
        if plan.prune:
            collect(store, keep_kernels=kernels_wanted(store))
        deployment = Deployment(
            number, plan.snapshot, now(), plan.description, plan.kernel, plan.etc, plan.merge.conflicts, plan.trial
        )
        folder = store.top / "deployments" / f".new-{number}"
        folder.mkdir()
        build_etc(store, plan, deployment, folder)
        faults.reached("deploy.etc")
        _seed_state(store, plan.snapshot)
        make_places(store, plan.state, plan.snapshot, folder, number)
        say_updated(store, plan.snapshot, folder / "etc")
        faults.reached("deploy.state")
        os.rename(folder, store.deployment_path(number))
        store.sync()
        faults.reached("deploy.synced")
        title, options = entry_words(store, deployment)
        kernel = put_kernel(store, plan, title, options, progress, secure_boot)
        faults.reached("deploy.kernel")
        put_initramfs(store, plan, progress)
        faults.reached("deploy.initramfs")
        text = write_entry(
            number=number,
            title=title,
            kernel=kernel,
            options=options,
            initrd=plan.initramfs_path,
            unified=plan.unified,
        )
        name = f"{ENTRIES}/{entry_name(number, plan.tries)}"
        store.esp.put(name + PENDING, text.encode())
        faults.reached("deploy.entry")
        store.esp.rename(name + PENDING, name)  # the commit point
        faults.reached("deploy.committed")
        write_bios_menu(store)
        store.set_unified(plan.unified)
        collect(store, keep_kernels=kernels_wanted(store))
        faults.reached("deploy.collected")
        store.sync()  # what was given up is gone for good before the journal forgets it
        intent.close()
        step.outcome = f"deployment {number} boots next" + (", once" if plan.trial else "")
        if plan.merge.conflicts:
            step.note(f"/etc: {len(plan.merge.conflicts)} conflicts, both versions kept", "warning")
    return deployment


def entry_words(store: Store, deployment: Deployment) -> tuple[str, str]:
    """Title and command line of a deployment. One on trial is not marked good by itself: it boots once."""
    words = kernel_command_line(store.tree(deployment.snapshot), deployment.kernel)
    # the kernel's profile first: the image's own parameters come after it and win
    cmdline = " ".join(filter(None, (words, store.info["cmdline"], TRIAL if deployment.trial else "")))
    options = kernel_options(
        partuuid=store.info["root_partuuid"],
        snapshot=deployment.snapshot,
        deployment=deployment.number,
        cmdline=cmdline,
    )
    what = deployment.description or f"snapshot {deployment.snapshot}"
    return f"rastOS {deployment.number}: {what}" + (" (trial)" if deployment.trial else ""), options


def _seed_state(store: Store, snapshot: int) -> None:
    for name in STATE:
        source, target = store.tree(snapshot) / name, store.top / "state" / name
        if source.is_dir():
            first = not any(target.iterdir())
            copy_missing(source, target, leave_out=NOT_STATE if name == "var" and not first else frozenset())
            if first:
                copy_attributes(source, target)
