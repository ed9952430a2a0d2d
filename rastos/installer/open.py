"""Opening an image file: its btrfs mounted privately, its ESP at hand, nothing left behind however we end."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, UserError
from rastos.host import attached, in_memory, locked, mounted, require_root, run, spawn
from rastos.snapshot import Esp, MtoolsEsp

from .encryption import is_encrypted, unlocked
from .mirror import copy_esp, esp_of, is_mirrored, require_second
from .partition import ESP_TYPE, ROOT_TYPE, Partition, read_layout

OPTIONS = ("noatime", "subvolid=5", "compress=zstd:1")
ONLY_SHOWN = ("vmdk", "vdi", "vhdx", "vpc")  # converted for being changed
NO_REPLAY = "rescue=nologreplay"
MANIFEST = "image.json"  # at the top level: what the image was made of
LOCK_SECONDS = 2.0  # a look into an image takes a fraction of that
TWIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An opened image: `disk` is its raw view, `top` the mounted btrfs top level."""

    path: Path
    format: str
    disk: Path
    top: Path
    esp: Esp
    partitions: tuple[Partition, ...]


def image_format(path: Path) -> str:
    """raw or qcow2. Raises UserError for what isn't an image, BusyError while a VM runs on it."""
    if not path.is_file():
        raise missing_image(path)
    done = run(["qemu-img", "info", "--output=json", path], check=False)
    if done.status != 0:
        if "lock" in done.stderr:
            raise BusyError("the image is in use", on=path, holder="a running virtual machine")
        raise UserError("this is not an image qemu-img can read", on=path, next_step="name a qcow2 or raw image")
    name = str(json.loads(done.stdout)["format"])
    if name not in ("raw", "qcow2"):
        raise UserError(
            f"images of format {name} can't be opened as they are",
            on=path,
            next_step=f"convert it: `rastos image convert {path} {path.with_suffix('.qcow2').name}`",
        )
    return name


def shown_format(path: Path) -> str:
    """As `image_format`; to be looked at, an image may also be of another hypervisor's format that QEMU reads."""
    done = run(["qemu-img", "info", "--output=json", path], check=False) if path.is_file() else None
    name = str(json.loads(done.stdout).get("format", "")) if done is not None and done.status == 0 else ""
    return name if name in ONLY_SHOWN else image_format(path)


def missing_image(path: Path) -> UserError:
    """The error for an image that isn't there."""
    return UserError("there is no such image", on=path, next_step="make one: `rastos image create`, or check the name")


@contextmanager
def image_lock(path: Path, purpose: str, *, shared: bool = False) -> Iterator[None]:
    """The lock of an image, beside it (a lock on the image itself would stop QEMU)."""
    with locked(path.with_name(f".{path.name}.lock"), purpose, shared=shared, wait=LOCK_SECONDS):
        yield


@contextmanager
def open_image(path: Path, *, writable: bool, purpose: str, lock: bool = True) -> Iterator[OpenImage]:
    """Open an image for the length of the block; `lock` False: the caller holds its lock.

    raw: loop device at the partition's offset. qcow2, and vmdk, vdi, vhdx for reading: qemu-storage-daemon shows it as a file by FUSE, loop on that.
    Raises UserError (not an image of ours), BusyError (in use), IntegrityError (damaged), HostError (not root).
    """
    require_root("open an image")
    path = path.absolute()
    if not path.is_file():
        raise missing_image(path)
    with ExitStack() as stack:
        # ours first: it names who has the image, QEMU's own lock can't
        if lock:
            stack.enter_context(image_lock(path, purpose, shared=not writable))
        kind = image_format(path) if writable else shown_format(path)
        if writable:
            check_unused(path)
        place = stack.enter_context(in_memory("image"))
        disk = path if kind == "raw" else stack.enter_context(_exported(path, place, kind, writable=writable))
        partitions = read_layout(disk, name=path)
        esp, root = _find(partitions, ESP_TYPE, path), _find(partitions, ROOT_TYPE, path)
        device = stack.enter_context(attached(disk, offset=root.start, size=root.size, read_only=not writable))
        if is_encrypted(disk, root.start):
            device = stack.enter_context(unlocked(device, on=path, read_only=not writable))
        (place / "top").mkdir()
        options: tuple[str, ...] = OPTIONS
        if is_mirrored(partitions):
            options += (f"device={stack.enter_context(_second_disk(path, disk, esp, writable=writable))}",)
        top = stack.enter_context(_mounted_top(device, place / "top", options, path, read_only=not writable))
        yield OpenImage(path, kind, disk, top, MtoolsEsp(disk, esp.start, esp.size), partitions)


@contextmanager
def disk_view(path: Path, *, writable: bool) -> Iterator[Path]:
    """An image as a raw disk, for what is outside its file systems; the caller holds the image's lock. Errors as `open_image`."""
    kind = image_format(path)
    with ExitStack() as stack:
        if kind == "raw":
            yield path
        else:
            place = stack.enter_context(in_memory("disk"))
            yield stack.enter_context(_exported(path, place, kind, writable=writable))


@contextmanager
def _second_disk(path: Path, first: Path, esp: Partition, *, writable: bool) -> Iterator[Path]:
    """The root partition of a mirror's second disk; what was written to the first ESP is copied to the second in the end."""
    second = require_second(path)
    kind = image_format(second)
    if writable:
        check_unused(second)
    with ExitStack() as stack:
        place = stack.enter_context(in_memory("mirror"))
        disk = second if kind == "raw" else stack.enter_context(_exported(second, place, kind, writable=writable))
        partitions = read_layout(disk, name=second)
        root = _find(partitions, ROOT_TYPE, second)
        with attached(disk, offset=root.start, size=root.size, read_only=not writable) as device:
            yield device
        if writable:
            copy_esp(first, esp, disk, esp_of(partitions))


@contextmanager
def _mounted_top(
    device: Path, target: Path, options: tuple[str, ...], path: Path, *, read_only: bool
) -> Iterator[Path]:
    """Mount the top level. Images made from one cached image have one file system id: before Linux 6.7 the kernel
    mounts one of them at a time (EEXIST), so the others wait."""
    deadline = time.monotonic() + TWIN_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(mounted(device, target, "btrfs", options, read_only=read_only))
                break
            except HostError as error:
                number = getattr(error.__cause__, "errno", None)
                if number in (errno.EROFS, errno.EIO) and read_only and NO_REPLAY not in options:
                    # the log is unclean (a writer was killed), and replaying it would be a write: some kernels say EIO
                    # to that; with this, `btrfs send` does not work
                    options = (*options, NO_REPLAY)
                elif number == errno.EEXIST and time.monotonic() < deadline:
                    time.sleep(0.1)
                elif number == errno.EEXIST:
                    raise BusyError(
                        "a file system of the same origin is in use", on=path, holder="an open copy of this image"
                    ) from error
                elif number in (errno.EINVAL, errno.EIO, errno.EUCLEAN):
                    raise IntegrityError(
                        f"the image's root file system can't be mounted: {error.__cause__}",
                        on=path,
                        next_step="make the image again, or go back to a copy of it",
                    ) from error
                else:
                    raise
        yield target


def check_unused(path: Path) -> None:
    """QEMU locks the images it uses (fcntl); asking for a writable open tells whether somebody has it."""
    done = run(["qemu-io", "-c", "quit", path], check=False)
    if done.status != 0 and "lock" in done.stderr:
        raise BusyError("the image is in use", on=path, holder="a running virtual machine")


def _find(partitions: tuple[Partition, ...], kind: str, path: Path) -> Partition:
    for part in partitions:
        if part.type == kind:
            return part
    what = "EFI system partition" if kind == ESP_TYPE else "root partition"
    raise UserError(
        f"the image has no {what}", on=path, next_step="only images made by `rastos image create` can be opened"
    )


@contextmanager
def _exported(path: Path, place: Path, kind: str, *, writable: bool) -> Iterator[Path]:
    """A qcow2 (or whatever QEMU reads) as a raw file, by FUSE; the daemon dies with us and its mount is in our namespace only."""
    target = place / "disk"
    target.touch()
    log = place / "export.log"
    file = {"driver": "file", "filename": os.fspath(path), "read-only": not writable}
    node = {"driver": kind, "node-name": "image", "file": file, "read-only": not writable, "discard": "unmap"}
    export = (
        f"type=fuse,id=disk,node-name=image,mountpoint={target},writable={'on' if writable else 'off'},allow-other=off"
    )
    argv = ["qemu-storage-daemon", "--blockdev", json.dumps(node), "--export", export]
    before = os.stat(target).st_dev
    with log.open("wb") as words, spawn(argv, stdout=words, stderr=words) as daemon:
        deadline = time.monotonic() + 20
        while os.stat(target).st_dev == before:
            if daemon.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace").strip()
                if "lock" in text:
                    raise BusyError("the image is in use", on=path, holder="a running virtual machine")
                raise ExternalError("could not open the qcow2", on=path, argv=argv, status=daemon.poll(), tail=text)
            time.sleep(0.005)
        yield target
