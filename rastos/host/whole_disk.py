"""Whole disks: claimed for this process alone, emptied, and their partitions told to the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import BusyError, HostError

BLKRRPART = 0x125F  # linux/fs.h
PIECE = 1 << 20


@contextmanager
def claimed_disk(path: Path) -> Iterator[int]:
    """A disk, or a file that stands for one, open for writing; its descriptor.

    open(2), O_EXCL: nobody can mount a block device or a partition of it meanwhile, and where somebody has, it fails.
    Raises BusyError where it is in use, HostError where it can't be written.
    """
    block = stat.S_ISBLK(os.stat(path).st_mode)
    try:
        number = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if block else 0))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BusyError("the disk is in use", on=path, holder="a mount, swap, or another program") from error
        raise HostError(
            f"cannot open the disk for writing: {error.strerror}", on=path, next_step="is it write-protected?"
        ) from error
    try:
        yield number
    finally:
        os.close(number)


def disk_size(path: Path) -> int:
    """Bytes of a block device or file."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(number, 0, os.SEEK_END)
    finally:
        os.close(number)


def clear_ranges(disk: int, ranges: Sequence[tuple[int, int]]) -> None:
    """Write zeros over places of an open disk (start and size in bytes), durably."""
    for start, size in ranges:
        done = 0
        while done < size:
            done += os.pwrite(disk, bytes(min(PIECE, size - done)), start + done)
    os.fsync(disk)


def announce_partitions(disk: int) -> bool:
    """Have the kernel read the partition table of an open disk again; False where it can't (a file, or partitions in use)."""
    os.fsync(disk)
    try:
        fcntl.ioctl(disk, BLKRRPART)
    except OSError:
        return False
    return True
