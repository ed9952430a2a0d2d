"""The running system's own store: its btrfs top level and its ESP, mounted where only this process sees them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import in_memory, locked, mounted, require_root

from . import subvolume
from .esp import MountedEsp
from .store import Store

LOCK = Path("/run/lock/rastos-store")
LOCK_SECONDS = 2.0
TOP_OPTIONS = ("noatime", "subvolid=5")
ESP_OPTIONS = ("nosuid", "nodev", "noexec", "umask=0077")
_ESP_LINE = re.compile(r"^PARTUUID=(\S+)\s+/efi\s", re.MULTILINE)


def booted_deployment(cmdline: str | None = None) -> int | None:
    """The number of the deployment that runs here, from the kernel's command line; None: not a system of ours."""
    words = (Path("/proc/cmdline").read_text() if cmdline is None else cmdline).split()
    numbers = [word.removeprefix("rastos.deployment=") for word in words if word.startswith("rastos.deployment=")]
    return int(numbers[-1]) if numbers and numbers[-1].isdigit() else None


@contextmanager
def opened_running(*, writable: bool, purpose: str) -> Iterator[Store]:
    """The store of the system that runs, for the length of the block.

    Raises UserError on a machine that no deployment of ours started, BusyError (who has it), HostError (not root).
    """
    booted = booted_deployment()
    if booted is None:
        raise UserError(
            "this machine was not started from a rastos deployment",
            next_step="name an image file: --image FILE; `rastos image create` makes one",
        )
    require_root("open the snapshots of the running system")
    with ExitStack() as stack:
        stack.enter_context(locked(LOCK, purpose, shared=not writable, wait=LOCK_SECONDS))
        place = stack.enter_context(in_memory("store"))
        (place / "top").mkdir()
        top = stack.enter_context(mounted(_root_device(), place / "top", "btrfs", TOP_OPTIONS, read_only=not writable))
        (place / "esp").mkdir()
        esp = stack.enter_context(_mounted_esp(place / "esp", writable=writable))
        yield Store.open(top, MountedEsp(esp), writable=writable, booted=booted)


def _root_device() -> Path:
    """The block device of "/": the kernel's own name for it (/dev/root) has no node when there is no initramfs."""
    folder = Path("/sys/fs/btrfs", subvolume.file_system(Path("/")), "devices")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        raise HostError("the root's block device is unknown", on=folder, next_step="is /sys mounted?")
    return Path("/dev", names[0])


@contextmanager
def _mounted_esp(target: Path, *, writable: bool) -> Iterator[Path]:
    """The ESP that fstab names, by a mount of our own: /efi is an automount, which works in the first namespace only."""
    fstab = Path("/etc/fstab").read_text(errors="replace")
    found = _ESP_LINE.search(fstab)
    if found is None:
        raise HostError("fstab names no ESP", on="/etc/fstab", next_step="add its line: PARTUUID=… /efi vfat …")
    device = Path("/dev/disk/by-partuuid", found[1])
    with ExitStack() as stack:
        try:
            stack.enter_context(mounted(device, target, "vfat", ESP_OPTIONS, read_only=not writable))
        except HostError as error:
            # the same device is mounted writable already, and one file system can't be both
            if writable or getattr(error.__cause__, "errno", None) != errno.EBUSY:
                raise
            stack.enter_context(mounted(device, target, "vfat", ESP_OPTIONS))
        yield target
