"""Sorted tables of a package database in one flat file: what a plan reads of 60,000 entries is what it touches.

    magic, stamp, counts │ names │ offsets of bodies │ provided names │ who provides them │ bodies

Names are sorted and searched by halving, in place; nothing is parsed and no dictionary is built when the file is opened.
The file is a cache: it carries the stamp of the database it was made from and is made again when that changed.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

_HEAD = struct.Struct("<8s24s6Q")
_MAGIC = b"rastosT1"

Buffer = bytes | mmap.mmap


class Texts:
    """A sorted table of byte strings."""

    def __init__(self, data: memoryview, start: int, count: int) -> None:
        self.count = count
        self._offsets = data[start : start + 8 * (count + 1)].cast("Q")
        self._text = data[start + 8 * (count + 1) :]

    def __getitem__(self, at: int) -> bytes:
        return bytes(self._text[self._offsets[at] : self._offsets[at + 1]])

    def find(self, text: bytes) -> int:
        """Where `text` is, or -1."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self[middle] < text:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self[low] == text else -1

    def all(self) -> Iterator[bytes]:
        """Every one in order."""
        whole = bytes(self._text[: self._offsets[self.count]])
        return (whole[self._offsets[at] : self._offsets[at + 1]] for at in range(self.count))


class Tables:
    """Names, bodies and providers of one database; made by `write`."""

    def __init__(self, buffer: Buffer) -> None:
        data = memoryview(buffer)
        _, _, names, bodies, provided, providers, self.length, _ = _HEAD.unpack_from(data)
        if self.length != len(data):
            raise ValueError("a table of another length")
        self.names = Texts(data, _HEAD.size, names)
        self._bodies = data[bodies : bodies + 8 * (names + 1)].cast("Q")
        count = _HEAD.unpack_from(data)[7]
        self._provided = Texts(data, provided, count)
        self._providers = Texts(data, providers, count)
        self._data = data

    def body(self, at: int) -> bytes:
        """The entry of name number `at`, as stored."""
        return bytes(self._data[self._bodies[at] : self._bodies[at + 1]])

    def providers(self, name: bytes) -> list[str]:
        """Who provides `name`, in the order of the database."""
        at = self._provided.find(name)
        return self._providers[at].decode().split("\n") if at >= 0 else []


def stamp(path: Path) -> bytes:
    """What tells one state of a database file from another."""
    status = path.stat()
    return struct.pack("<3Q", status.st_size, status.st_mtime_ns, status.st_ino)


def opened(path: Path, wanted: bytes) -> Tables | None:
    """The tables in `path` if they were made from the database with this stamp."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD.size)
            if len(head) < _HEAD.size or head[:32] != _MAGIC + wanted:
                return None
            return Tables(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError, struct.error):
        return None


def write(
    out: IO[bytes],
    wanted: bytes,
    data: bytes,
    bodies: Mapping[str, Sequence[tuple[int, int]]],
    provided: Mapping[str, Sequence[str]],
) -> None:
    """Write tables; a body is given as the parts of `data` that make it up."""
    names = sorted(bodies)
    virtual = sorted(provided)
    names_table = _texts([name.encode() for name in names])
    provided_table = _texts([name.encode() for name in virtual])
    providers_table = _texts(["\n".join(provided[name]).encode() for name in virtual])
    at_bodies = _HEAD.size + len(names_table)
    at_provided = at_bodies + 8 * (len(names) + 1)
    at_providers = at_provided + len(provided_table)
    position = at_providers + len(providers_table)
    offsets = array("Q")
    for name in names:
        offsets.append(position)
        position += sum(size + 1 for _, size in bodies[name]) - 1
    offsets.append(position)
    head = (len(names), at_bodies, at_provided, at_providers, position, len(virtual))
    out.write(_HEAD.pack(_MAGIC, wanted, *head))
    out.write(names_table)
    out.write(offsets.tobytes())
    out.write(provided_table)
    out.write(providers_table)
    view = memoryview(data)
    for name in names:
        out.writelines(_joined(view, bodies[name]))


def _joined(view: memoryview, parts: Sequence[tuple[int, int]]) -> Iterator[bytes | memoryview]:
    for number, (start, size) in enumerate(parts):
        if number:
            yield b"\n"
        yield view[start : start + size]


def _texts(texts: Sequence[bytes]) -> bytes:
    offsets = array("Q", [0])
    position = 0
    for text in texts:
        position += len(text)
        offsets.append(position)
    whole = offsets.tobytes() + b"".join(texts)
    return whole + b"\0" * (-len(whole) % 8)


def replace(path: Path, made: Path) -> Tables:
    """Put finished tables in their place and open them."""
    os.rename(made, path)
    with path.open("rb") as stream:
        return Tables(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
