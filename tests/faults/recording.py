"""A disk file whose block writes are recorded in order, by QEMU's blklogwrites driver.

The log is the kernel's own format (Documentation/admin-guide/device-mapper/log-writes.rst): a superblock, then entries of
sector, number of sectors, flags and length, each followed by its data.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.host import spawn

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
_SUPER, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
MARK_PLACE = 512 << 10  # before the first partition
LOG_ROOM = 4 << 30  # sparse


@dataclass(frozen=True, slots=True)
class Write:
    """Data that was written at a byte of the disk."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """What was written between one flush and the next, in order; the last epoch was never flushed."""

    epochs: tuple[tuple[Write, ...], ...]

    @property
    def writes(self) -> int:
        """Writes in all."""
        return sum(map(len, self.epochs))

    @property
    def flushes(self) -> int:
        """Flushes that had something to flush, or not."""
        return len(self.epochs) - 1

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(write.data) for epoch in self.epochs for write in epoch)


@contextmanager
def recorded(disk: Path, log: Path) -> Iterator[Path]:
    """The disk file as another file; what is written to that goes to the disk and into the log.

    The daemon serves one request after the other, so the log's order is the order in which the writes were answered, and a
    flush covers all writes before it. The files themselves are never flushed: nobody pulls their plug.
    """
    shown = log.with_name("recorded.raw")
    shown.touch()
    with log.open("xb") as stream:
        stream.truncate(LOG_ROOM)

    def file(path: Path) -> dict[str, object]:
        return {"driver": "file", "filename": os.fspath(path), "cache": {"no-flush": True}}

    node = {
        "driver": "blklogwrites",
        "node-name": "disk",
        "log-sector-size": SECTOR,
        "file": file(disk),
        "log": file(log),
    }
    export = f"type=fuse,id=shown,node-name=disk,mountpoint={shown},writable=on,allow-other=off"
    before = os.stat(shown).st_dev
    with spawn(["qemu-storage-daemon", "--blockdev", json.dumps(node), "--export", export]) as daemon:
        deadline = time.monotonic() + 30
        while os.stat(shown).st_dev == before:
            assert daemon.poll() is None and time.monotonic() < deadline, "qemu-storage-daemon shows no disk"
            time.sleep(0.005)
        yield shown


def mark(disk: Path) -> None:
    """Write to a place of the disk that belongs to no partition: a flush right after this was asked for by an fsync."""
    with disk.open("r+b", buffering=0) as stream:
        stream.seek(MARK_PLACE)
        stream.write(b"fsync".ljust(SECTOR, b"."))


def read_log(log: Path, *, marked: tuple[int, int] = (0, 0)) -> Recording:
    """The log so far. A discard is read as zeros: what a disk may make of it at worst.

    QEMU flushes at every close of the file too, which a plain file doesn't: after a write between the bytes `marked` (the ESP, on
    which mtools opens and closes) only a flush with a mark counts.
    """
    epochs: list[tuple[Write, ...]] = []
    now: list[Write] = []
    with log.open("rb") as stream:
        magic, _, _, size = _SUPER.unpack(stream.read(_SUPER.size))
        if not magic:  # it is written with the first flush
            return Recording(((),))
        assert magic == MAGIC and size == SECTOR, "not a log of writes"
        position = SECTOR
        while True:
            stream.seek(position)
            sector, count, flags, _ = _ENTRY.unpack(stream.read(_ENTRY.size))
            if not (sector or count or flags):  # the superblock's count may be behind: the file is sparse, zeros end it
                break
            position += SECTOR
            if count and flags & DISCARD:
                now.append(Write(sector * SECTOR, bytes(count * SECTOR)))
            elif count:
                stream.seek(position)
                now.append(Write(sector * SECTOR, stream.read(count * SECTOR)))
                position += count * SECTOR
            if flags & FLUSH and not (now and marked[0] <= now[-1].offset < marked[1]):
                epochs.append(tuple(now))
                now = []
            assert not flags & FUA, "the loop device turns FUA into a write and a flush"
    return Recording((*epochs, tuple(now)))
