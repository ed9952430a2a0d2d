"""Making the disk of an image, stage by stage: packages by layers, from the cache as far as it goes; configuration; deployment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import IntegrityError
from rastos.host import (
    attached,
    available_memory,
    copy_extents,
    data_extents,
    mounted,
    private_mounts,
    run,
    write_json,
)
from rastos.package import Channel, apply_layers, fetch_layers, target_for
from rastos.progress import Progress
from rastos.snapshot import Esp, LayeredTree, MtoolsEsp, Store, create_session, deploy, plan_deploy, release_space

from .bootloader import install_bios_loader, install_bootloader
from .clock import Clock
from .disk_making import disk_words, kept_format, make_swap, root_place, write_data_mounts
from .filesystem import make_esp, make_root, renew_root
from .formats.table import find_format
from .formats.writing import write_format
from .machine_project import write_project
from .open import MANIFEST, OPTIONS
from .partition import write_layout
from .reproducible import EARLIEST, without_moment
from .stages import StageCache
from .system import configure_system

if TYPE_CHECKING:
    from .image import ImagePlan

PACKED = ("noatime", "subvolid=5", "compress=zstd:3")  # packages are written once: 3 % less than with zstd:1
ROOM = 512 << 20  # what a file system of packages has beside twice their size
NAME = 24  # characters of a key that name a stage inside the btrfs


def make_image(plan: ImagePlan, channels: Sequence[Channel], cache: Path, work: Path, clock: Clock) -> Path:
    """Make the image as a file in `work`; not yet durable."""
    private_mounts()
    layout = plan.layout
    with _workshop(plan, work) as place:
        disk = place / "disk.raw"
        with clock.phase("partition and format"):
            with open(disk, "xb") as stream:
                os.truncate(stream.fileno(), layout.size)
            write_layout(disk, layout)
            make_esp(disk, layout.esp, volume_id=plan.key[:8])
            if layout.bios:
                install_bios_loader(disk, layout)
        fresh = _packages(plan, channels, cache, disk, place, clock)
        (place / "top").mkdir()
        start, size = root_place(layout)
        with attached(disk, offset=start, size=size) as device:
            if not fresh:
                renew_root(device)
            with mounted(device, place / "top", "btrfs", OPTIONS) as top:
                run(["btrfs", "filesystem", "resize", "max", top], what="let the file system have its partition")
                layered = LayeredTree(top)
                layered.drop_stages()
                esp = MtoolsEsp(disk, layout.esp.start, layout.esp.size, epoch=EARLIEST)
                first_system(plan, esp, top, layered.tree, clock)
                release_space(top)
        kind = find_format(kept_format(plan.profile.disk, plan.profile.format))
        result = work / f"image{kind.suffix}"
        with clock.phase(f"write {kind.name}"):
            if kind.name == "raw":
                with open(result, "xb") as stream:
                    os.truncate(stream.fileno(), layout.size)
                copy_extents(disk, result, data_extents(disk))
            else:
                write_format(disk, "raw", result, kind, progress=clock.progress, compression=plan.profile.compress)
    return result


@contextmanager
def _workshop(plan: ImagePlan, work: Path) -> Iterator[Path]:
    """Where disks are worked on: in memory where there is plenty, since every commit of theirs waits for the device."""
    place = work / "workshop"
    place.mkdir()
    needed = 4 * plan.packages.installed_size + 2 * ROOM
    with ExitStack() as stack:
        if available_memory() > 2 * needed:
            stack.enter_context(mounted("tmpfs", place, "tmpfs", ("nosuid", "nodev", "mode=0700", f"size={needed}")))
        yield place


def _packages(plan: ImagePlan, channels: Sequence[Channel], cache: Path, disk: Path, place: Path, clock: Clock) -> bool:
    """Put a btrfs with all packages into the root's place on the disk; whether it is a new one, with an id of its own."""
    stages = StageCache(cache / "stages")
    keys = [layer.key for layer in plan.layers]
    (start, room), work = root_place(plan.layout), place / "stage.btrfs"
    done = 0
    while plan.use_cache and plan.cacheable:
        stage, done = stages.best(keys, room=room)
        if stage is None:
            break
        try:
            with clock.phase("packages from the cache"):
                if done == len(keys):
                    stages.place(stage, disk, at=start)
                    return False
                with open(work, "xb") as stream:
                    os.truncate(stream.fileno(), max(stage.size, _size(plan)))
                stages.place(stage, work)
                break
        except IntegrityError as error:
            clock.progress.note(f"{error.what}: {error.on}; {error.next_step}", "warning")
            work.unlink(missing_ok=True)
    if not done:
        with open(work, "xb") as stream:
            os.truncate(stream.fileno(), _size(plan))
    _install(plan, channels, cache, work, done, clock)
    extents = data_extents(work)
    if plan.cacheable:
        with clock.phase("keep the packages for the next image"):
            try:
                stages.keep(work, keys)
            except OSError as error:
                clock.progress.note(f"the packages were not kept for the next image: {error.strerror}", "warning")
    copy_extents(work, disk, extents, at=start)
    work.unlink()
    return True


def _size(plan: ImagePlan) -> int:
    """Of a file system for the packages alone: room to unpack, small enough for any disk they fit on."""
    return min(2 * plan.packages.installed_size + ROOM, root_place(plan.layout)[1]) >> 20 << 20


def _install(plan: ImagePlan, channels: Sequence[Channel], cache: Path, work: Path, done: int, clock: Clock) -> None:
    names = [layer.key[:NAME] for layer in plan.layers]
    (work.parent / "packages").mkdir()
    with attached(work) as device:
        if done:
            renew_root(device)
        else:
            with clock.phase("make the root file system"):
                make_root(device)
        with mounted(device, work.parent / "packages", "btrfs", PACKED) as top:
            run(["btrfs", "filesystem", "resize", "max", top], what="make room for packages")
            layered = LayeredTree(top)
            layered.retain(set(names[:done]))
            layered.begin(names[done - 1] if done else "")
            _install_layers(plan, channels, cache, layered, clock, first=done)
            release_space(top)


def _install_layers(
    plan: ImagePlan, channels: Sequence[Channel], cache: Path, layered: LayeredTree, clock: Clock, *, first: int = 0
) -> None:
    target = target_for(layered.tree, cache, immutable=True)
    fetch_layers(target, channels, plan.layers[first:], clock.progress)
    for layer in plan.layers[first:]:
        with clock.phase(f"install packages: {layer.name}"):
            apply_layers(target, channels, [layer], clock.progress, policy=plan.policy)
            layered.mark(layer.key[:NAME])


def fill_disk(
    plan: ImagePlan, channels: Sequence[Channel], cache: Path, esp: Esp, top: Path, progress: Progress
) -> None:
    """Install an image's packages on a disk that is there, `top` being its empty btrfs top level: first snapshot, deployment."""
    clock, layered = Clock(progress), LayeredTree(top)
    layered.begin()
    _install_layers(plan, channels, cache, layered, clock)
    layered.drop_stages()
    first_system(plan, esp, top, layered.tree, clock)


def first_system(plan: ImagePlan, esp: Esp, top: Path, tree: Path, clock: Clock) -> None:
    """Make `top` a store whose first snapshot is `tree`, a subvolume there that has the packages; configured and deployed."""
    layout, profile = plan.layout, plan.profile
    cmdline = f"{profile.cmdline} {disk_words(layout, profile.disk, top)}".strip()
    store = Store.initialise(top, esp, root_partuuid=layout.root.uuid, cmdline=cmdline, uki=profile.uki)
    make_swap(top, profile.disk)
    with create_session(store, None, "create the image", tree=tree) as session:
        with clock.phase("configure the system"):
            configure_system(session.tree, profile, layout.esp)
            write_data_mounts(session.tree, profile.disk)
            if plan.project:
                write_project(session.tree, plan.project)
            moment = without_moment(session.tree)
            if isinstance(esp, MtoolsEsp):
                esp.epoch = moment
            install_bootloader(esp, session.tree, plan.secure_boot)
        with clock.phase("first snapshot"):
            snapshot = session.commit(f"first system, profile {profile.name}")
    with clock.phase("first deployment"):
        deploy(store, plan_deploy(store, snapshot.id), clock.progress, secure_boot=plan.secure_boot)
    write_json(top / MANIFEST, {**plan.manifest(), "seconds": dict(clock.laps)})
