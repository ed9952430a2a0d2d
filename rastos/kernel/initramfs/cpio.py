"""The archive that the kernel unpacks before anything else: cpio "newc" (kernel, Documentation/driver-api/early-userspace/buffer-format.rst).

Same members, same bytes: no times, owners or device numbers of the machine that wrote it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry; `path` without a leading slash. `device` is (major, minor) of a node, `mode` type and permissions."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Member:
    """A folder."""
    return Member(path, stat.S_IFDIR | 0o755)


def file(path: str, data: bytes, permissions: int = 0o644) -> Member:
    """A file."""
    return Member(path, stat.S_IFREG | permissions, data)


def node(path: str, permissions: int, major: int, minor: int) -> Member:
    """A character device."""
    return Member(path, stat.S_IFCHR | permissions, device=(major, minor))


def write_cpio(members: Iterable[Member], out: BinaryIO) -> int:
    """Write the archive with the folders each member needs before it; how many bytes."""
    written = 0
    made: set[str] = set()
    number = 0
    for member in (*members, Member(_TRAILER, 0)):
        parts = member.path.split("/")[:-1]
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        wanted = [directory(path) for path in above if path not in made]
        for item in (*wanted, member):
            if item.path in made:
                continue
            made.add(item.path)
            number += 1
            block = _entry(item, 0 if item.path == _TRAILER else number)
            out.write(block)
            written += len(block)
    return written


def _entry(member: Member, number: int) -> bytes:
    name = member.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (
        *(number, member.mode, 0, 0, links, 0, len(member.data), 0, 0),
        *(member.device[0], member.device[1], len(name), 0),
    )
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    head += b"\0" * (-len(head) % 4)
    return head + member.data + b"\0" * (-len(member.data) % 4)
