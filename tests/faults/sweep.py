"""Cutting the power at many points of one recorded operation, and counting what came out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from rastos.errors import RastosError
from rastos.host import attached, run
from tests.faults.disk import Expected, boots_next, layout, look, operate, wrong_after_recovery, wrong_before_recovery
from tests.faults.recording import Recording, Write, read_log, recorded
from tests.faults.replay import Point, Replay, copy_sparse, points

LONG = os.environ.get("RASTOS_FAULTS") == "long"
SEED = int(os.environ.get("RASTOS_FAULTS_SEED", "5"))
SUPERBLOCK, SUPERBLOCK_SIZE = 64 << 10, 4096  # of a btrfs (btrfs(5)); its second copy is 64 MiB from the start


@dataclass(frozen=True, slots=True)
class Recorded:
    """An operation on a disk: the disk before, its writes, and what it may look like."""

    name: str
    base: Path
    recording: Recording
    expected: Expected


@dataclass
class Tally:
    """Of one operation: points tried and recovered from, by kind, and what was wrong."""

    name: str
    writes: int
    flushes: int
    tried: dict[str, int] = field(default_factory=dict)
    recovered: int = 0
    wrong: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        counts = [self.tried.get(kind, 0) for kind in COLUMNS]
        cells = [self.writes, self.flushes, *counts, self.recovered, len(self.wrong)]
        return f"| {self.name:<26} |" + "|".join(f"{cell:>8} " for cell in cells) + "|"


COLUMNS = ("flush", "between", "torn", "reordered", "superblock")
TITLES = ("writes", "flushes", "flush", "between", "torn", "reorder", "super", "recover", "wrong")
TALLIES: list[Tally] = []


def table() -> list[str]:
    """All that was tried in this run, for people."""
    head = f"| {'power cut during':<26} |" + "|".join(f"{title:>8} " for title in TITLES) + "|"
    rule = f"|{'-' * 28}|" + "|".join("-" * 8 + ":" for _ in TITLES) + "|"
    return [head, rule, *(tally.row() for tally in TALLIES)]


def record(disk: Path, name: str, operation: str, *, before: str = "") -> Recorded:
    """Do something with a disk, recording every write; the disk is left as the operation leaves it."""
    base = disk.with_name(f"{name}-base.raw")
    copy_sparse(disk, base)
    log = disk.with_name(f"{name}.log")
    seen = disk.with_name("seen.raw")  # looking mounts it, which may already change it
    copy_sparse(disk, seen)
    earlier, old = look(seen), boots_next(seen)
    seen.unlink()
    with recorded(disk, log) as shown:
        operate(shown, operation, before=before)
    shown.unlink()
    esp = layout().esp
    recording = read_log(log, marked=(esp.start, esp.start + esp.size))
    log.unlink()
    later = look(disk)
    expected = Expected({**earlier.trees, **later.trees}, {**earlier.etcs, **later.etcs}, (old, boots_next(disk)))
    return Recorded(name, base, recording, expected)


def sweep(what: Recorded, *, each: int, recoveries: int, since: float = 0, enough: int | None = None) -> Tally:
    """Cut the power at many points: look at each disk, and let the next command recover at every `recoveries`th.

    `since`: only after that share of the flushes. Ends early where `enough` wrong ones were found.
    """
    tally = Tally(what.name, what.recording.writes, what.recording.flushes)
    replay = Replay(what.base, what.recording, what.base.parent)
    for number, point in enumerate(points(what.recording, seed=SEED, each=each, whole=LONG)):
        if point.epoch < since * what.recording.flushes:
            continue
        if any(_tears_superblock(write) for write in point.extra):
            continue  # a case of its own
        _try(replay.at(point), point.kind.partition(" ")[0], what, tally, point, recover=number % recoveries == 0)
        if enough is not None and len(tally.wrong) >= enough:
            break
    return tally


def sweep_superblocks(what: Recorded, tally: Tally, *, most: int) -> None:
    """Tear the superblock of the btrfs, which no driver expects: the second copy has to be put back by hand."""
    replay = Replay(what.base, what.recording, what.base.parent)
    found = 0
    for number, epoch in enumerate(what.recording.epochs):
        for write in epoch:
            if found < most and write.offset == layout().root.start + SUPERBLOCK:
                found += 1
                point = Point("superblock", number, (Write(write.offset, write.data[:1024]),))
                disk = replay.at(point)
                put_superblock_back(disk)
                _try(disk, "superblock", what, tally, point, recover=True)


def put_superblock_back(disk: Path) -> None:
    """What docs/commit-protocol.md says for a superblock that was torn."""
    root = layout().root
    with attached(disk, offset=root.start, size=root.size) as device:
        run(["btrfs", "rescue", "super-recover", "-y", device], check=False)  # 2: it was mended


def _try(disk: Path, kind: str, what: Recorded, tally: Tally, point: Point, *, recover: bool) -> None:
    tally.tried[kind] = tally.tried.get(kind, 0) + 1
    try:
        wrong = wrong_before_recovery(disk, what.expected)
        if recover and not wrong:
            tally.recovered += 1
            wrong = wrong_after_recovery(disk, what.expected, mended=kind == "superblock")
    except (OSError, RastosError, AssertionError, ValueError) as error:
        wrong = [f"{type(error).__name__}: {error}"]
    if wrong:
        tally.wrong.append(f"{what.name}, {point.kind} after {point.epoch} flushes: {'; '.join(wrong)}")


def _tears_superblock(write: Write) -> bool:
    """Whether it is a part of a superblock: 4096 bytes, which btrfs takes for one unit that a disk writes whole."""
    start = layout().root.start + SUPERBLOCK
    return write.offset == start and len(write.data) < SUPERBLOCK_SIZE
