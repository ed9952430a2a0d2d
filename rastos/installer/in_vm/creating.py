"""`create_image` for somebody who isn't root: packages are fetched here, the image is made in a virtual machine."""

from __future__ import annotations

import os
import pickle
import stat
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rastos.errors import HostError, IntegrityError, UserError
from rastos.host import copy_file, locked, require_programs, working_directory
from rastos.package import Channel, LocalRepository, fetch_layers, target_for
from rastos.progress import Progress

from ..clock import Clock
from ..disk_making import data_disk_path, kept_format
from ..formats.converting import check_output
from ..formats.table import find_format
from ..image import Image, ImagePlan
from ..kept_images import cached_place, copy_kept, forget_old, keep_image
from ..mirror import second_of
from ..open import check_unused, image_lock
from .kernel import find_kernel, take_kernel
from .machine import work_in_vm
from .messages import reader
from .worker import Work

TIMEOUT = 3600.0  # seconds; under emulation an image takes minutes
SAME_SECONDS = 1800.0  # how long to wait for somebody who makes the same image
_SPARE = 2 << 30


def create_image_in_vm(
    plan: ImagePlan,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    cache: Path,
    progress: Progress,
    passphrase: bytes | None = None,
    timeout: float = TIMEOUT,
) -> Image:
    """Make the image in a machine booted from one of the repository's kernels; the same image `create_image` makes as root.

    It appears under its name in one rename, and is kept in the cache as root's would be. The layers made on the way aren't.
    Raises HostError where no kernel fits, ExternalError where the machine fails or takes longer than `timeout` seconds,
    and what `create_image` raises.
    """
    kind, disk = find_format(plan.profile.format), plan.profile.disk
    if disk.luks and passphrase is None:
        raise UserError("an encrypted root needs a passphrase", next_step="give one: --luks-passphrase-file FILE")
    plain = not (disk.luks or disk.raid1 or disk.data)
    place = cached_place(cache, plan.key, kept_format(disk, kind.name))
    clock = Clock(progress)
    check_output(plan.output, kind, force=True)
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    with image_lock(plan.output, "creating the image"):
        if plan.output.exists():
            check_unused(plan.output)
        with locked(cache / "locks" / f"image-{plan.key[:16]}.lock", f"making {plan.output.name}", wait=SAME_SECONDS):
            with working_directory(cache / "images", "create") as work:
                cached = plain and plan.use_cache and copy_kept(place, plan.output, clock, None)
                if not cached:
                    made = _in_vm(plan, channels, repository, cache, work, clock, passphrase, timeout)
                    _deliver(plan, made, place, clock, plain)
            forget_old(cache)
    on_disk = plan.output.stat().st_blocks * 512
    return Image(plan.output, kind.name, plan.layout.size, on_disk, plan.key, cached, tuple(clock.laps))


def check_vm(repository: LocalRepository) -> None:
    """HostError where this host or the repository lacks what the machine needs; writes nothing."""
    require_programs("qemu-system-x86_64", "mkfs.btrfs")
    find_kernel(repository)


def _deliver(plan: ImagePlan, made: dict[str, Path], place: Path, clock: Clock, plain: bool) -> None:
    """Bring what the machine made to its names, the image itself last."""
    image = made.pop(plan.output.name)
    for name, path in made.items():
        copy_file(path, plan.output.with_name(name))
    if plain:
        keep_image(image, place, plan.output, plan.manifest(), clock, None)
    else:
        copy_file(image, plan.output)


def _in_vm(
    plan: ImagePlan,
    channels: Sequence[Channel],
    repository: LocalRepository,
    cache: Path,
    work: Path,
    clock: Clock,
    passphrase: bytes | None,
    timeout: float,
) -> dict[str, Path]:
    """What the machine made, by name; files of ours, in `work`."""
    kernel = find_kernel(repository)
    scratch = 4 * plan.packages.installed_size + 2 * plan.layout.size + _SPARE
    _space(cache, plan)
    # the machine has no network
    fetch_layers(
        target_for(cache / "images" / "empty-root", cache, immutable=True), channels, plan.layers, clock.progress
    )
    handover = work / "handover"
    handover.mkdir(mode=0o700)
    # nobody would see the layers it keeps
    description = pickle.dumps(Work(replace(plan, cacheable=False), tuple(channels), cache, passphrase))
    with clock.progress.step(f"Work in a virtual machine, kernel {kernel.package.name}") as step:
        result = work_in_vm(
            description,
            reader(clock.progress, step.number),
            kernel=partial(take_kernel, kernel),
            handover=handover,
            work=work,
            scratch=scratch,
            cache=cache,
            timeout=timeout,
        )
    clock.laps += [(str(name), float(seconds)) for name, seconds in result.get("seconds", ())]
    return {name: _own_file(handover / name) for name in _expected(plan)}


def _expected(plan: ImagePlan) -> list[str]:
    """Names of the files the machine hands over: a data disk that is there holds somebody's data and is left alone."""
    disk = plan.profile.disk
    others = [second_of(plan.output)] if disk.raid1 else []
    others += [path for path in (data_disk_path(plan.output, item) for item in disk.data) if not path.exists()]
    return [plan.output.name, *(path.name for path in others)]


def _own_file(path: Path) -> Path:
    """A file handed over, no longer with a mode the machine chose. IntegrityError: it isn't there, or something else is."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IntegrityError(f"the virtual machine did not hand it over: {error.strerror}", on=path.name) from error
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise IntegrityError("the virtual machine handed over something that is no file", on=path.name)
        os.fchmod(number, 0o644)
    finally:
        os.close(number)
    return path


def _space(cache: Path, plan: ImagePlan) -> None:
    status = os.statvfs(cache / "images")
    free, needed = status.f_bavail * status.f_frsize, 5 * plan.packages.installed_size + _SPARE
    if free < needed:
        raise HostError(
            f"{free >> 20} MiB are free, about {needed >> 20} MiB are needed",
            on=cache,
            next_step="free space, or set RASTOS_CACHE to a larger disk",
        )
