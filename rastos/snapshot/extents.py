"""Which data on disk a subvolume refers to, by raw ioctls of btrfs: no quotas, no program started.

Structures and numbers: linux/btrfs.h, linux/btrfs_tree.h, linux/fiemap.h. Needs root.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError

TREE_SEARCH_V2 = 0xC0709411  # _IOWR(BTRFS_IOCTL_MAGIC, 17, struct btrfs_ioctl_search_args_v2)
INO_LOOKUP = 0xD0009412  # _IOWR(BTRFS_IOCTL_MAGIC, 18, struct btrfs_ioctl_ino_lookup_args)
FIEMAP = 0xC020660B  # _IOWR('f', 11, struct fiemap)
EXTENT_DATA = 108  # BTRFS_EXTENT_DATA_KEY
INLINE = 0  # BTRFS_FILE_EXTENT_INLINE
FIRST_INODE = 256  # BTRFS_FIRST_FREE_OBJECTID
EXTENT_LAST, EXTENT_SHARED = 0x1, 0x2000  # FIEMAP_EXTENT_*
_MOST = (1 << 64) - 1
_BUFFER = 1 << 20
_KEY = struct.Struct("=7Q4I4Q")  # struct btrfs_ioctl_search_key
_HEADER = struct.Struct("=3Q2I")  # struct btrfs_ioctl_search_header
_MAP = struct.Struct("=2Q4I")  # struct fiemap
_MAPPED = struct.Struct("=3Q2QI3I")  # struct fiemap_extent
_MAPPED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Extent:
    """Part of a file: inode, position in it, place and bytes on disk."""

    inode: int
    position: int
    place: int
    size: int


def extents(tree: Path, *, since: int = 0) -> Iterator[Extent]:
    """Extents that files of a subvolume refer to; no holes, no small files that lie in metadata. HostError without root.

    `since`: a transaction. Only what was written after it; parts of the tree that are older are not read at all.
    """
    number = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for inode, position, data in _items(number, since):
            generation, _, _, _, _, kind = struct.unpack_from("=QQBBHB", data)
            if generation > since and kind != INLINE:
                place, size = struct.unpack_from("=QQ", data, 21)
                if place:
                    yield Extent(inode, position, place, size)
    finally:
        os.close(number)


def _items(number: int, since: int) -> Iterator[tuple[int, int, bytes]]:
    """(inode, position, item) of all file extents in leaves changed after `since`, in order."""
    buffer = bytearray(_KEY.size + 8 + _BUFFER)
    inode, kind, position = FIRST_INODE, 0, 0
    while True:
        # 0: the subvolume that the descriptor is in
        _KEY.pack_into(buffer, 0, 0, inode, _MOST, position, _MOST, since + 1, _MOST, kind, 255, 1 << 20, 0, 0, 0, 0, 0)
        struct.pack_into("=Q", buffer, _KEY.size, _BUFFER)
        try:
            fcntl.ioctl(number, TREE_SEARCH_V2, buffer)
        except PermissionError as error:
            raise HostError("sizes of snapshots are read by root only", next_step="run it as root (sudo)") from error
        count = struct.unpack_from("=I", buffer, 64)[0]
        if not count:
            return
        at = _KEY.size + 8
        for _ in range(count):
            _, inode, position, kind, length = _HEADER.unpack_from(buffer, at)
            at += _HEADER.size
            if kind == EXTENT_DATA:
                yield inode, position, bytes(buffer[at : at + length])
            at += length
        if position < _MOST:
            position += 1
        elif kind < 255:
            kind, position = kind + 1, 0
        else:
            inode, kind, position = inode + 1, 0, 0


def unshared(tree: Path, inode: int) -> list[tuple[int, int]]:
    """(begin, end) of the parts of a file whose data nothing else on the file system refers to (fiemap(2))."""
    found: list[tuple[int, int]] = []
    folder = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lookup = bytearray(4096)
        struct.pack_into("=QQ", lookup, 0, 0, inode)
        try:
            fcntl.ioctl(folder, INO_LOOKUP, lookup)
            name = bytes(lookup[16:]).split(b"\0", 1)[0].rstrip(b"/")
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:  # deleted while it was open somewhere
            return found
    finally:
        os.close(folder)
    try:
        start = 0
        while True:
            answer = bytearray(_MAP.size + _MAPPED_AT_ONCE * _MAPPED.size)
            _MAP.pack_into(answer, 0, start, _MOST - start, 0, 0, _MAPPED_AT_ONCE, 0)
            fcntl.ioctl(file, FIEMAP, answer)
            count = struct.unpack_from("=I", answer, 20)[0]
            flags = EXTENT_LAST
            for index in range(count):
                at, _, length, _, _, flags, *_ = _MAPPED.unpack_from(answer, _MAP.size + index * _MAPPED.size)
                if not flags & EXTENT_SHARED:
                    found.append((at, at + length))
                start = at + length
            if flags & EXTENT_LAST:
                return found
    finally:
        os.close(file)
