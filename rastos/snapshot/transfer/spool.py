"""Streams on their way in: whole chunks are kept under the store's `receiving/` until all of them are there.

Nothing in it is visible as a snapshot. Each chunk lies in a file of its own, in a name with its number and digest; what is read
back is held to that digest, so a power cut costs a chunk and no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import faults

from .container import Chunk, Truncated

FOLDER = "receiving"
_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32}|whole)\Z")
_CHUNK = re.compile(r"(\d{8})-([0-9a-f]{64})\Z")


class Spool:
    """What is kept of one stream; `stream` and `base` are its subvolume's UUID and that of what it builds on, or ""."""

    def __init__(self, top: Path, stream: str, base: str) -> None:
        self.stream = stream
        self.base = base
        self.folder = top / FOLDER / f"{stream}-{base or 'whole'}"

    @classmethod
    def every(cls, top: Path) -> tuple[Spool, ...]:
        """All that were cut off."""
        place = top / FOLDER
        names = sorted(os.listdir(place)) if place.is_dir() else []
        found = (match for name in names if (match := _NAME.match(name)))
        return tuple(cls(top, match[1], "" if match[2] == "whole" else match[2]) for match in found)

    def _files(self) -> list[tuple[str, Path]]:
        """(digest, file) from chunk 0 on without a gap."""
        names = sorted(os.listdir(self.folder)) if self.folder.is_dir() else []
        found: list[tuple[str, Path]] = []
        for match in (item for name in names if (item := _CHUNK.match(name))):
            if int(match[1]) != len(found):
                break
            found.append((match[2], self.folder / match[0]))
        return found

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the chunks that are there."""
        return tuple(digest for digest, _ in self._files())

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return sum(path.stat().st_size for path in self.folder.iterdir()) if self.folder.is_dir() else 0

    def take(self, chunk: Chunk, have: list[str]) -> None:
        """Keep a chunk that is whole; `have` are the digests so far, and grows. One that is there is left as it is.

        IntegrityError: damaged, or there is a gap before it.
        """
        if chunk.number < len(have) and have[chunk.number] == chunk.digest:
            return
        if chunk.number > len(have):
            raise IntegrityError(
                f"the stream goes on at chunk {chunk.number}, {len(have)} chunks are here",
                next_step="send it again from its beginning, or with --have",
            )
        chunk.plain()
        self.folder.mkdir(parents=True, exist_ok=True)
        if chunk.number < len(have) or not have:  # another stream of the same snapshot from here on
            self._cut(chunk.number)
            del have[chunk.number :]
        target = self.folder / f"{chunk.number:08d}-{chunk.digest}"
        temporary = self.folder / ".chunk"
        temporary.write_bytes(chunk.frame)
        os.rename(temporary, target)
        have.append(chunk.digest)
        faults.reached("receive.chunk")

    def _cut(self, number: int) -> None:
        for path in self.folder.iterdir():
            match = _CHUNK.match(path.name)
            if match is None or int(match[1]) >= number:
                path.unlink()

    def plain(self) -> Iterator[bytes]:
        """The stream, chunk by chunk, each held to its digest."""
        for number, (digest, path) in enumerate(self._files()):
            try:
                yield Chunk(number, digest, path.read_bytes()).plain()
            except IntegrityError as error:
                self._cut(number)  # torn by a power cut: it has to come again, the ones before it don't
                raise Truncated(f"chunk {number} of what was kept is damaged; the ones before it stay") from error

    def drop(self) -> None:
        """Forget it."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()
        if self.folder.parent.is_dir() and not os.listdir(self.folder.parent):
            self.folder.parent.rmdir()
