"""A GPT rewritten for another size of its disk: the last partition gets what there is, the backup goes to the new end.

The order of writes keeps the table whole at every instant: the new backup lies where nothing else is, and the protective MBR, the
header and the first entries are one write of 4 KiB. UEFI specification 2.10, chapter 5; sectors of 512 bytes, as image files
have. `init/rastos-grow.c` does the same in a running system.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import faults

from ..partition import ALIGN, ROOT_TYPE, SECTOR, Partition

PAGE = 4096
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_MOST = 1 << 20  # bytes of entries; 16 KiB is what everybody has


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was found sound: its header's fields and its entries' bytes."""

    fields: tuple[bytes | int, ...]
    entries: bytes
    page: bytes  # the first 4 KiB of the disk

    @property
    def last_sector(self) -> int:
        """Where it thinks that the disk ends: the place of its backup."""
        return int(self.fields[6])

    @property
    def entry_size(self) -> int:
        """Bytes of one entry."""
        return int(self.fields[12])


def end_of_root(size: int) -> int:
    """Where the last partition of a disk of `size` bytes ends: whole MiB, with room for the backup behind it."""
    return (size - ALIGN) // ALIGN * ALIGN


def read_table(disk: Path, *, name: Path) -> Table:
    """The primary table of a raw disk, called `name` in errors. IntegrityError: it is damaged."""
    with open(disk, "rb") as stream:
        page = stream.read(PAGE)
        fields = _HEADER.unpack_from(page.ljust(PAGE, b"\0"), SECTOR)
        size = fields[11] * fields[12]
        head = bytearray(page[SECTOR : SECTOR + max(min(fields[2], SECTOR), _HEADER.size)])
        head[16:20] = bytes(4)
        sound = fields[0] == b"EFI PART" and zlib.crc32(head) == fields[3] and 0 < size <= _MOST
        stream.seek(fields[10] * SECTOR if sound else 0)
        entries = stream.read(size if sound else 0)
    if not sound or zlib.crc32(entries) != fields[13] or fields[10] != 2:
        raise IntegrityError(
            "the partition table is damaged",
            on=name,
            next_step="repair it (`sgdisk --verify`), or make the image again",
        )
    return Table(fields, entries, page)


def last_partition(partitions: tuple[Partition, ...], *, name: Path) -> Partition:
    """The root, which has to be the last one on the disk: only that one can grow or shrink. UserError: it isn't."""
    last = max(partitions, key=lambda part: part.start, default=None)
    if last is None or last.type != ROOT_TYPE:
        raise UserError(
            "the root is not the last partition, so that its size can't be changed",
            on=name,
            next_step="make the image again with another --size",
        )
    return last


def fits(disk: Path, size: int, root: Partition, *, name: Path) -> bool:
    """Whether the table is the one that `write_table` would write for this size."""
    ends = root.start + root.size == end_of_root(size)
    return ends and read_table(disk, name=name).last_sector == size // SECTOR - 1


def write_table(disk: Path, size: int, root: Partition, *, name: Path) -> None:
    """Make the table one for a disk of `size` bytes, the root up to its end. Its backup must lie within the file."""
    table = read_table(disk, name=name)
    span = -(-len(table.entries) // SECTOR)
    last = size // SECTOR - 1
    entries = bytearray(table.entries)
    place = _entry_of(root, table)
    if place is None:
        raise UserError("the root is too far back in the partition table", on=name, next_step="make the image again")
    struct.pack_into("<Q", entries, place + 40, end_of_root(size) // SECTOR - 1)
    primary = _header(table.fields, entries, current=1, backup=last, usable=last - span - 1, place=2)
    backup = _header(table.fields, entries, current=last, backup=1, usable=last - span - 1, place=last - span)
    page = bytearray(table.page)
    page[SECTOR : 2 * SECTOR] = primary
    page[2 * SECTOR :] = (bytes(entries) + page[2 * SECTOR + len(entries) :])[: PAGE - 2 * SECTOR]
    for row in range(446, 510, 16):
        if page[row + 4] == 0xEE:  # the protective partition covers the disk
            struct.pack_into("<I", page, row + 12, min(last, 0xFFFFFFFF))
    number = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        _write(number, bytes(entries), (last - span) * SECTOR)
        _write(number, backup, last * SECTOR)
        faults.reached("resize.backup")
        _write(number, bytes(page), 0)
    finally:
        os.close(number)


def _entry_of(root: Partition, table: Table) -> int | None:
    """Where among the entries a partition is; None when that is not in the first page."""
    for place in range(0, PAGE - 2 * SECTOR - table.entry_size + 1, table.entry_size):
        if table.entries[place + 32 : place + 40] == struct.pack("<Q", root.start // SECTOR):
            return place
    return None


def _header(
    fields: tuple[bytes | int, ...], entries: bytes | bytearray, *, current: int, backup: int, usable: int, place: int
) -> bytes:
    values = list(fields)
    values[2:4] = [_HEADER.size, 0]
    values[5:7] = [current, backup]
    values[8], values[10], values[13] = usable, place, zlib.crc32(entries)
    values[3] = zlib.crc32(_HEADER.pack(*values))
    return _HEADER.pack(*values).ljust(SECTOR, b"\0")


def _write(number: int, data: bytes, at: int) -> None:
    written = os.pwrite(number, data, at)
    if written != len(data):
        raise OSError(5, f"{written} bytes of {len(data)} were written")
    os.fsync(number)
