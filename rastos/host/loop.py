"""Loop devices by offset and size, with autoclear: they vanish with their last user (linux/loop.h, LOOP_CONFIGURE)."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import HostError
from rastos.host.privilege import require_root

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LOOP_CLR_FD = 0x4C01
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR = 1, 4
LOOP_MAJOR = 7
# struct loop_config: fd, block_size, struct loop_info64 (232 bytes), 8 reserved words
_INFO = struct.Struct("=QQQQQIIII64s64s32s2Q")


@contextmanager
def attached(path: Path, *, offset: int = 0, size: int | None = None, read_only: bool = False) -> Iterator[Path]:
    """A loop device over `size` bytes (default: to the end) of a file from `offset` on, both multiples of 512.

    Raises HostError without root, without loop support, or when every device stays taken.
    """
    require_root("attach a loop device")
    mode = os.O_RDONLY if read_only else os.O_RDWR
    backing = os.open(path, mode | os.O_CLOEXEC)
    try:
        device, number = _configure(backing, path, offset, size or 0, read_only)
    finally:
        os.close(backing)
    try:
        yield device
    finally:
        os.close(number)  # autoclear: gone once nothing has it mounted


def _open_node(device: Path, index: int, read_only: bool) -> int:
    if not device.exists():  # no udev here
        try:
            os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(LOOP_MAJOR, index))
        except FileExistsError:  # somebody else was as quick
            pass
    return os.open(device, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)


def _configure(backing: int, path: Path, offset: int, size: int, read_only: bool) -> tuple[Path, int]:
    flags = LO_FLAGS_AUTOCLEAR | (LO_FLAGS_READ_ONLY if read_only else 0)
    name = os.fsencode(path)[-63:]
    info = _INFO.pack(0, 0, 0, offset, size, 0, 0, 0, flags, name, b"", b"", 0, 0)
    config = struct.pack("=II", backing, 512) + info + bytes(64)
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError("this kernel offers no loop devices", on="/dev/loop-control") from error
    try:
        for attempt in range(100):
            index = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = Path(f"/dev/loop{index}")
            try:
                number = _open_node(device, index, read_only)
            except FileNotFoundError:  # removed again meanwhile
                continue
            try:
                fcntl.ioctl(number, LOOP_CONFIGURE, config)
                return device, number
            except OSError as error:
                os.close(number)
                if error.errno != errno.EBUSY:  # EBUSY: somebody else took it first
                    raise HostError(f"cannot attach a loop device: {error.strerror}", on=path) from error
            time.sleep(0.01 * attempt)
    finally:
        os.close(control)
    raise HostError("no free loop device", on=path, next_step="see `losetup --list` for who has them")
