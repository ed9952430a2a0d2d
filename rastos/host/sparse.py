"""The data of sparse files: where it is, and copying it with a digest of what was read."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_BLOCK = 4 << 20
Extents = tuple[tuple[int, int], ...]


def data_extents(path: Path) -> Extents:
    """The ranges (first byte, byte after the last) of a file that are not holes (lseek(2), SEEK_DATA)."""
    found = []
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = 0
        size = os.fstat(number).st_size
        while end < size:
            try:
                start = os.lseek(number, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # only a hole is left
                    break
                raise
            end = os.lseek(number, start, os.SEEK_HOLE)
            found.append((start, end))
    finally:
        os.close(number)
    return tuple(found)


def copy_extents(source: Path, target: Path | None, extents: Sequence[Sequence[int]], *, at: int = 0) -> str:
    """Copy ranges of a file into another one that is there, moved by `at` bytes; returns the SHA-256 of what was read.

    A source that is too short gives the digest of what there is. Without a target it is only read.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    with ExitStack() as stack:
        reader = stack.enter_context(open(source, "rb", buffering=0))
        writer = stack.enter_context(open(target, "r+b", buffering=0)) if target else None
        for start, end in extents:
            position = start
            while position < end:
                count = os.preadv(reader.fileno(), [buffer[: min(_BLOCK, end - position)]], position)
                if count == 0:
                    break
                digest.update(buffer[:count])
                written = 0
                while writer and written < count:
                    written += os.pwrite(writer.fileno(), buffer[written:count], at + position + written)
                position += count
    return digest.hexdigest()
