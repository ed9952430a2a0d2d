"""The states a disk can be in when the power goes: everything flushed is there, of the rest any part."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.recording import SECTOR, Recording, Write

KINDS = ("flush", "between", "torn", "reordered", "reordered and torn")


@dataclass(frozen=True, slots=True)
class Point:
    """A power cut: `epoch` epochs are on the disk whole, and `extra` of the next one."""

    kind: str
    epoch: int
    extra: tuple[Write, ...]


def cut(write: Write, chance: random.Random) -> Write:
    """The write, torn at a sector."""
    return Write(write.offset, write.data[: chance.randrange(1, len(write.data) // SECTOR) * SECTOR])


def points(recording: Recording, *, seed: int, each: int, whole: bool) -> Iterator[Point]:
    """Power cuts in order: at every flush; between flushes (`whole`: after every write, else `each` of them per epoch);
    torn and reordered ones, `each` of either per epoch. Those that come out the same are given once."""
    chance = random.Random(seed)
    for number, epoch in enumerate(recording.epochs):
        seen = {()}
        yield Point("flush", number, ())
        lengths = range(1, len(epoch))
        if not whole and len(lengths) > each:
            lengths = sorted(chance.sample(lengths, each))
        found = [Point("between", number, epoch[:length]) for length in lengths]
        found += _torn(epoch, number, chance, each)
        found += _reordered(epoch, number, chance, each)
        for point in found:
            key = tuple((write.offset, len(write.data), hash(write.data)) for write in point.extra)
            if key not in seen:
                seen.add(key)
                yield point
    yield Point("flush", len(recording.epochs), ())


def _torn(epoch: tuple[Write, ...], number: int, chance: random.Random, each: int) -> list[Point]:
    long = [place for place, write in enumerate(epoch) if len(write.data) > SECTOR]
    places = long if len(long) <= each else sorted(chance.sample(long, each))
    return [Point("torn", number, (*epoch[:place], cut(epoch[place], chance))) for place in places]


def _reordered(epoch: tuple[Write, ...], number: int, chance: random.Random, each: int) -> list[Point]:
    """Parts of an epoch: all of them where they are few. A drive may write in any order, so any part may be there."""
    if len(epoch) < 2:
        return []
    if 2 ** len(epoch) <= each:
        parts = [tuple(itertools.compress(epoch, mask)) for mask in itertools.product((0, 1), repeat=len(epoch))]
        return [Point("reordered", number, part) for part in parts]
    found = []
    for turn in range(each):
        share = (0.5, 0.9, 0.1)[turn % 3]
        part = [write for write in epoch if chance.random() < share]
        kind = "reordered"
        long = [place for place, write in enumerate(part) if len(write.data) > SECTOR]
        if turn % 2 and long:
            place = chance.choice(long)
            part[place] = cut(part[place], chance)
            kind = "reordered and torn"
        found.append(Point(kind, number, tuple(part)))
    return found


class Replay:
    """Disk files at points of a recording. Points have to be asked for in order."""

    def __init__(self, base: Path, recording: Recording, folder: Path) -> None:
        self.recording = recording
        self._solid = folder / "solid.raw"
        self._trial = folder / "trial.raw"
        self._epochs = 0
        copy_sparse(base, self._solid)

    def at(self, point: Point) -> Path:
        """A disk file in that state; the one before is gone."""
        while self._epochs < point.epoch:
            apply(self._solid, self.recording.epochs[self._epochs])
            self._epochs += 1
        copy_sparse(self._solid, self._trial)
        apply(self._trial, point.extra)
        return self._trial


def copy_sparse(source: Path, target: Path) -> None:
    """Copy what is there; holes stay holes."""
    target.unlink(missing_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        place = 0
        while place < size:
            try:
                start = os.lseek(reader.fileno(), place, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            place = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            reader.seek(start)
            writer.seek(start)
            shutil.copyfileobj(_part(reader, place - start), writer, 1 << 20)


class _part:
    """The next bytes of a stream, as a stream."""

    def __init__(self, stream, length: int) -> None:  # type: ignore[no-untyped-def]
        self._stream, self._left = stream, length

    def read(self, length: int) -> bytes:
        data: bytes = self._stream.read(min(length, self._left))
        self._left -= len(data)
        return data


def apply(disk: Path, writes: tuple[Write, ...]) -> None:
    """Write them into a disk file."""
    with disk.open("r+b") as stream:
        for write in writes:
            stream.seek(write.offset)
            stream.write(write.data)
