"""Deploy: make a snapshot the next system to boot, with one commit point (see docs/architecture.md)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import HostError, IntegrityError, UserError
from rastos.host import faults, sha256_file, write_atomic, write_json
from rastos.kernel import InitramfsPlan, SecureBootKey, plan_initramfs
from rastos.progress import Progress

from . import subvolume
from .bootentry import ENTRIES, KERNELS, PENDING, TRIES, kernel_options, write_entry
from .bootfiles import boot_stub, kernel_command_line, put_initramfs, put_kernel
from .copying import copy_attributes, copy_missing, copy_path
from .etc_merge import IDENTITY, EtcMerge, apply_merge, plan_merge, read_tree
from .kernels import TreeKernel, choose_kernel, kernels_in
from .metadata import Deployment, now
from .recovery import collect, kernels_wanted
from .store import STATE, Store
from .verify.sealing import require_unchanged

ETC_WAYS = ("merge", "current", "old", "new")
ESP_RESERVE = 1 << 20  # bytes that stay free for entries and counters
BTRFS_RESERVE = 64 << 20  # bytes: the new /etc, and metadata of a copy-on-write file system
INIT = "usr/lib/rastos/init"
# what belongs to the package database of a tree, not to the machine's state
NOT_STATE = frozenset({"cache", "tmp"})


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a deploy will do: nothing of it has happened yet."""

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
    merge: EtcMerge
    based_on: int | None

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def plan_deploy(
    store: Store, snapshot_id: int, *, etc: str = "merge", kernel: str = "", unified: bool | None = None
) -> DeployPlan:
    """Work out a deploy and check all that could stop it: kernel, init program, space on btrfs and ESP.

    `etc`: merge (three-way), current (the running one as it is), old (the last one used with that snapshot) or new
    (pristine). `kernel`: one of several in it (see `kernels.choose_kernel`). `unified`: by a unified kernel
    image from now on, or no longer (None: as this store does). Raises UserError, IntegrityError (parts that don't belong together) or HostError (space).
    """
    if etc not in ETC_WAYS:
        raise UserError(f"unknown way for /etc: '{etc}'", next_step=f"choose one of {', '.join(ETC_WAYS)}")
    snapshot = store.snapshot(snapshot_id)
    require_unchanged(store, snapshot.id)
    tree = store.tree(snapshot.id)
    current = store.current()
    release = choose_kernel(kernels_in(tree), kernel, _booted_before(store, snapshot.id, current))
    vmlinuz = _coherent(tree, release or snapshot.kernel, snapshot.id)
    digest = sha256_file(vmlinuz)
    kernel_path = f"{KERNELS}/{digest[:16]}/vmlinuz"
    unified = bool(store.info.get("uki")) if unified is None else unified
    # a unified image holds the number of its deployment: no two are the same
    present = not unified and store.esp.exists(kernel_path)
    size = vmlinuz.stat().st_size
    initramfs = plan_initramfs(tree, release)
    if unified:
        size += boot_stub(tree, snapshot.id).stat().st_size
    initramfs_path = f"{KERNELS}/{initramfs.key[:16]}/initramfs" if initramfs and not unified else None
    initramfs_present = initramfs_path is not None and store.esp.exists(initramfs_path)
    _space(store, (0 if present else size) + (initramfs.size if initramfs and not initramfs_present else 0))
    source: int | None = current.number if current else None
    merge = EtcMerge()
    if current is None:
        etc = "new"
    elif etc == "old":
        earlier = [item.number for item in store.deployments() if item.snapshot == snapshot.id]
        if not earlier:
            raise UserError(
                f"snapshot {snapshot.id} was not deployed before (or its /etc is gone)",
                next_step="choose --etc merge, current or new",
            )
        source = max(earlier)
    elif etc == "merge":
        base = read_tree(store.tree(current.snapshot) / "etc")
        ours = read_tree(store.deployment_path(current.number) / "etc")
        merge = plan_merge(base, ours, read_tree(tree / "etc"))
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
        etc_from=None if etc == "new" else source,
        merge=merge,
        based_on=current.number if current else None,
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


def _coherent(tree: Path, release: str, number: int) -> Path:
    if not release:
        raise IntegrityError(f"snapshot {number} has no kernel", next_step="install one in it: `rastos snapshot run`")
    modules = tree / "usr/lib/modules" / release
    for path in (modules / "vmlinuz", modules / "modules.dep", tree / INIT):
        if not path.is_file():
            raise IntegrityError(
                f"snapshot {number} can't boot: {path.relative_to(tree)} is missing",
                next_step="install the kernel and rastos-init packages in it again",
            )
    return modules / "vmlinuz"


def _space(store: Store, kernel: int) -> None:
    free = store.esp.free()
    if free < kernel + ESP_RESERVE:
        raise HostError(
            f"the ESP has {free >> 20} MiB free, {(kernel + ESP_RESERVE) >> 20} MiB are needed",
            next_step="delete a snapshot with another kernel, then deploy again",
        )
    status = os.statvfs(store.top)
    if status.f_bavail * status.f_frsize < BTRFS_RESERVE:
        raise HostError(
            f"the file system has {status.f_bavail * status.f_frsize >> 20} MiB free, {BTRFS_RESERVE >> 20} are needed",
            next_step="delete snapshots, or make the image larger",
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
        deployment = Deployment(
            number, plan.snapshot, now(), plan.description, plan.kernel, plan.etc, plan.merge.conflicts
        )
        folder = _build_etc(store, plan, deployment)
        faults.reached("deploy.etc")
        _seed_state(store, plan.snapshot)
        _say_updated(store, plan.snapshot, folder / "etc")
        faults.reached("deploy.state")
        os.rename(folder, store.deployment_path(number))
        store.sync()
        faults.reached("deploy.synced")
        name = f"{ENTRIES}/rastos-{number}+{TRIES}.conf"
        options = kernel_options(
            partuuid=store.info["root_partuuid"],
            snapshot=plan.snapshot,
            deployment=number,
            cmdline=" ".join(filter(None, (kernel_command_line(store, plan), store.info["cmdline"]))),
        )
        title = f"rastOS {number}: {plan.description or f'snapshot {plan.snapshot}'}"
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
        store.esp.write(name + PENDING, text.encode())
        faults.reached("deploy.entry")
        store.esp.rename(name + PENDING, name)  # the commit point
        faults.reached("deploy.committed")
        store.set_unified(plan.unified)
        collect(store, keep_kernels=kernels_wanted(store))
        faults.reached("deploy.collected")
        intent.close()
        step.outcome = f"deployment {number} boots next"
        if plan.merge.conflicts:
            step.note(f"/etc: {len(plan.merge.conflicts)} conflicts, both versions kept", "warning")
    return deployment


def _build_etc(store: Store, plan: DeployPlan, deployment: Deployment) -> Path:
    folder = store.top / "deployments" / f".new-{deployment.number}"
    folder.mkdir()
    target = folder / "etc"
    pristine = store.tree(plan.snapshot) / "etc"
    if plan.etc_from is None:
        subvolume.create(target)
        copy_missing(pristine, target)
        copy_attributes(pristine, target)
    else:
        subvolume.snapshot(store.deployment_path(plan.etc_from) / "etc", target)
    if plan.etc == "merge" and plan.based_on is not None:
        base = store.tree(store.deployment(plan.based_on).snapshot) / "etc"
        apply_merge(plan.merge, base, target, pristine)
    elif plan.based_on is not None:
        _keep_identity(store.deployment_path(plan.based_on) / "etc", target)
    _describe(target, deployment)
    write_json(folder / "deployment.json", deployment.to_json())
    return folder


def _keep_identity(source: Path, target: Path) -> None:
    for pattern in IDENTITY:
        for path in source.glob(pattern):
            place = target / path.relative_to(source)
            place.unlink(missing_ok=True)
            if place.parent.is_dir():
                copy_path(path, place)


def _describe(etc: Path, deployment: Deployment) -> None:
    """What the running system knows about itself."""
    (etc / "rastos").mkdir(exist_ok=True)
    (etc / "issue.d").mkdir(exist_ok=True)
    words = f"snapshot {deployment.snapshot}" + (f": {deployment.description}" if deployment.description else "")
    known = {
        "deployment": deployment.number,
        "snapshot": deployment.snapshot,
        "description": deployment.description,
        "kernel": deployment.kernel,
        "created": deployment.created,
    }
    write_json(etc / "rastos/deployment.json", known)
    # agetty(8) expands backslashes in issue files
    text = words.replace("\\", "\\\\")
    write_atomic(etc / "issue.d/rastos.issue", f"rastOS deployment {deployment.number}, {text}\n\n")


def _say_updated(store: Store, snapshot: int, etc: Path) -> None:
    """systemd-update-done.service(8): /etc and /var are as new as /usr; what would bring them up to date ran already."""
    status = (store.tree(snapshot) / "usr").stat()
    for folder in (etc, store.top / "state/var"):
        place = folder / ".updated"
        place.write_text(f"TIMESTAMP_NSEC={status.st_mtime_ns}\n")
        os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _seed_state(store: Store, snapshot: int) -> None:
    for name in STATE:
        source, target = store.tree(snapshot) / name, store.top / "state" / name
        if source.is_dir():
            first = not any(target.iterdir())
            copy_missing(source, target, leave_out=NOT_STATE if name == "var" and not first else frozenset())
            if first:
                copy_attributes(source, target)
