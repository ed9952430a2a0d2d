"""Carrying out an installation. The partition table is written last: until then the disk says nothing to any firmware.

An installation that dies leaves a disk without a partition table, which the next one takes for empty.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import (
    announce_partitions,
    attached,
    claimed_disk,
    clear_ranges,
    disk_size,
    faults,
    in_memory,
    mounted,
    rename_durable,
    require_programs,
    require_root,
    run,
    working_directory,
    write_json,
)
from rastos.package import Channel
from rastos.progress import Progress
from rastos.snapshot import (
    Esp,
    MtoolsEsp,
    SendItem,
    Signer,
    Store,
    Trust,
    check_snapshot,
    compressed_streams,
    create_session,
    deploy,
    examine,
    plan_deploy,
    receive_directly,
    record,
    stream_header,
    stream_of,
)

from ..bootloader import install_bootloader
from ..filesystem import make_esp, make_root
from ..making import fill_disk
from ..open import MANIFEST, OPTIONS, image_lock
from ..partition import ALIGN, Layout, read_layout, write_layout
from ..system import configure_system
from .disks import read_disk
from .plan import InstallPlan, Medium

PROGRAMS = ("sfdisk", "mkfs.vfat", "mkfs.btrfs", "btrfs", "mcopy")
Fill = Callable[[Path, MtoolsEsp], None]  # the mounted top level, the ESP


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed: the deployment that boots, bytes used on its root, seconds it took."""

    disk: Path
    hostname: str
    snapshot: int
    deployment: int
    kernel: str
    used: int
    paths: int
    seconds: float


def install_copy(plan: InstallPlan, source: Store, progress: Progress) -> Installed:
    """Copy a snapshot of `source` onto the disk, make it the planned machine, verify it, and only then let it boot.

    Raises what `install_packages` raises.
    """
    medium = plan.medium
    assert medium is not None

    def fill(top: Path, esp: MtoolsEsp) -> None:
        store = _empty_store(plan, top, esp)
        item = SendItem(medium.snapshot, medium.uuid, medium.description, None)
        version = 2 if compressed_streams() else 1
        stream = stream_of(source, item, compressed=version == 2)
        base = receive_directly(store, stream_header(source, item), stream, progress, version=version).snapshot
        faults.reached("install.copied")
        with create_session(store, base.id, "install") as session:
            with progress.step("Configure the system"):
                configure_system(session.tree, plan.profile, plan.layout.esp)
            with progress.step("Install the boot loader"):
                install_bootloader(esp, session.tree)
            made = session.commit(f"installed as {plan.profile.hostname}")
        deploy(store, plan_deploy(store, made.id), progress)
        write_json(top / MANIFEST, _manifest(plan, medium))

    return _install(plan, fill, progress)


def install_packages(plan: InstallPlan, channels: Sequence[Channel], *, cache: Path, progress: Progress) -> Installed:
    """Install the planned packages onto the disk, as an image's are.

    Raises BusyError (somebody took the disk meanwhile), IntegrityError (what was written is not what was read back),
    HostError (no space, no root), ExternalError (a program failed).
    """
    packages = plan.packages
    assert packages is not None
    return _install(plan, lambda top, esp: fill_disk(packages, channels, cache, esp, top, progress), progress)


def _empty_store(plan: InstallPlan, top: Path, esp: Esp) -> Store:
    profile = plan.profile
    partuuid = plan.layout.root.uuid
    return Store.initialise(top, esp, root_partuuid=partuuid, cmdline=profile.cmdline, uki=profile.uki)


def _manifest(plan: InstallPlan, medium: Medium) -> dict[str, Any]:
    made = medium.made
    return {
        "profile": plan.profile.name,
        "kernel": str(made.get("kernel", "")),
        "kernel_version": str(made.get("kernel_version", "")),
        "format": "raw",
        "size": plan.layout.size,
        "key": str(made.get("key", "")),
        "packages": list(made.get("packages", [])),
        "copied_from": medium.uuid,
        "partitions": [asdict(plan.layout.esp), asdict(plan.layout.root)],
    }


def _install(plan: InstallPlan, fill: Fill, progress: Progress) -> Installed:
    require_root("install onto a disk")
    require_programs(*PROGRAMS)
    started = time.monotonic()
    with _target(plan) as disk, claimed_disk(disk) as claim:
        _unchanged(plan, disk)
        layout = plan.layout
        with progress.step("Clear the partition table"):
            clear_ranges(claim, ((0, ALIGN), (layout.size - ALIGN, ALIGN)))
            announce_partitions(claim)
            faults.reached("install.cleared")
        with _formatted(disk, layout, progress) as (top, esp):
            fill(top, esp)
            with progress.step("Note what every path is"):
                store = Store.open(top, esp, writable=True)
                record(store, max(store.numbers()), Signer(), progress)
            faults.reached("install.filled")
        with progress.step("Read back and verify"):
            result = _verified(plan, disk, progress)
        faults.reached("install.verified")
        with progress.step("Write the partition table"):  # the commit point
            write_layout(disk, layout)
            os.fsync(claim)
            _require_layout(disk, layout)
            faults.reached("install.written")
        if plan.disk.kind == "disk" and not announce_partitions(claim):
            progress.note("the kernel did not read the new partitions; it will at the next start")
    return replace(result, seconds=round(time.monotonic() - started, 1))


@contextmanager
def _target(plan: InstallPlan) -> Iterator[Path]:
    """The disk; or the file, a new one under a name of its own until all is well."""
    path = plan.disk.path
    if plan.disk.kind != "image":
        yield path
        return
    with image_lock(path, "installing"):
        if not plan.new:
            yield path
            return
        with working_directory(path.parent, "rastos-install") as folder:
            with open(folder / "disk.raw", "xb") as stream:
                stream.truncate(plan.layout.size)
            yield folder / "disk.raw"
            rename_durable(folder / "disk.raw", path)


def _unchanged(plan: InstallPlan, disk: Path) -> None:
    """Between the question and the answer somebody may have exchanged the disk."""
    if plan.new:
        return
    now = read_disk(disk)
    if (now.size, now.serial, now.table, now.content, now.parts) != (
        plan.disk.size,
        plan.disk.serial,
        plan.disk.table,
        plan.disk.content,
        plan.disk.parts,
    ):
        raise IntegrityError(
            "the disk is not what it was when the plan was made", on=disk, next_step="look again: rastos install --list"
        )


@contextmanager
def _opened(disk: Path, layout: Layout, *, read_only: bool) -> Iterator[tuple[Path, Path]]:
    """Loop devices over ESP and root: the places that the partitions will have. Whoever opens the disk by another name
    (a partition's node) would have another cache of it."""
    with (
        attached(disk, offset=layout.esp.start, size=layout.esp.size, read_only=read_only) as esp,
        attached(disk, offset=layout.root.start, size=layout.root.size, read_only=read_only) as root,
    ):
        yield esp, root


@contextmanager
def _formatted(disk: Path, layout: Layout, progress: Progress) -> Iterator[tuple[Path, MtoolsEsp]]:
    with ExitStack() as stack:
        place = stack.enter_context(in_memory("install"))
        esp, root = stack.enter_context(_opened(disk, layout, read_only=False))
        with progress.step("Make the file systems"):
            make_esp(esp, replace(layout.esp, start=0), volume_id=layout.disk_uuid[:8])
            make_root(root)
        (place / "top").mkdir()
        top = stack.enter_context(mounted(root, place / "top", "btrfs", OPTIONS))
        yield top, MtoolsEsp(esp, 0, layout.esp.size)
        run(["sync", "--file-system", top], what="write the disk")


def _verified(plan: InstallPlan, disk: Path, progress: Progress) -> Installed:
    """Read everything again from the disk: every path of every snapshot, every boot entry, what belongs together."""
    with ExitStack() as stack:
        place = stack.enter_context(in_memory("verify"))
        esp, root = stack.enter_context(_opened(disk, plan.layout, read_only=True))
        (place / "top").mkdir()
        top = stack.enter_context(mounted(root, place / "top", "btrfs", OPTIONS, read_only=True))
        store = Store.open(top, MtoolsEsp(esp, 0, plan.layout.esp.size), writable=False)
        broken = [f"{item.where}: {item.what}" for item in examine(store) if item.severity == "broken"]
        # the one that boots; what it was made from shares all but a few files with it
        check = check_snapshot(store, max(store.numbers()), Trust(unsigned=True), progress)
        broken += check.notes
        broken += [f"/{damage.path} {damage.what}" for damage in check.damage]
        current = store.current()
        if current is None:
            broken.append("no boot entry starts a deployment")
        if broken or current is None:
            raise IntegrityError(
                f"what was written to the disk is not what was read back: {broken[0]}",
                on=plan.disk.path,
                next_step="the disk has no partition table now; check it (smartctl, cables), or take another one",
            )
        status = os.statvfs(top)
        return Installed(
            plan.disk.path,
            plan.profile.hostname,
            current.snapshot,
            current.number,
            current.kernel,
            (status.f_blocks - status.f_bfree) * status.f_frsize,
            check.paths,
            0.0,
        )


def _require_layout(disk: Path, layout: Layout) -> None:
    found = [(part.start, part.size, part.type, part.uuid) for part in read_layout(disk)]
    wanted = [(part.start, part.size, part.type, part.uuid) for part in (layout.esp, layout.root)]
    if found != wanted or disk_size(disk) != layout.size:
        raise IntegrityError(
            "the partition table on the disk is not the one that was written", on=disk, next_step="try another disk"
        )
