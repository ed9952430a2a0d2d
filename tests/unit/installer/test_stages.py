"""Kept stages: which one is gone on from, and that a damaged one is never used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.installer.stages import Stage, StageCache

SIZE = 8 << 20
ROOM = 1 << 30


@pytest.fixture
def stages(tmp_path: Path) -> StageCache:
    return StageCache(tmp_path / "stages")


def source(folder: Path, *, at: int = 1 << 20, data: bytes = b"x" * 100_000, size: int = SIZE) -> Path:
    place = folder / "source"
    with open(place, "wb") as stream:
        os.truncate(stream.fileno(), size)
        stream.seek(at)
        stream.write(data)
    return place


def files(stages: StageCache) -> list[str]:
    return sorted(path.name for path in stages.folder.iterdir() if path.name != ".lock")


def placed(stages: StageCache, stage: Stage, tmp_path: Path, at: int = 0) -> bytes:
    target = tmp_path / "target"
    with open(target, "wb") as stream:
        os.truncate(stream.fileno(), SIZE + at)
    stages.place(stage, target, at=at)
    return target.read_bytes()


def test_the_stage_that_goes_furthest(stages: StageCache, tmp_path: Path) -> None:
    assert stages.best(["a", "b"], room=ROOM) == (None, 0)
    short = stages.keep(source(tmp_path), ["a", "x"])
    long = stages.keep(source(tmp_path), ["a", "b", "c"])
    assert stages.best(["a", "b", "d"], room=ROOM) == (long, 2)
    assert stages.best(["a", "x", "d"], room=ROOM) == (short, 2)
    assert stages.best(["b", "a"], room=ROOM) == (None, 0)
    assert stages.best(["a", "b"], room=SIZE - 1) == (None, 0), "it must fit on the disk"


def test_one_that_goes_less_far_on_the_same_way_is_dropped(stages: StageCache, tmp_path: Path) -> None:
    for keys in (["a"], ["b"], ["a", "b"], ["a", "b"]):
        stages.keep(source(tmp_path), keys)
    assert len(files(stages)) == 4
    assert stages.best(["b"], room=ROOM)[1] == 1 and stages.best(["a"], room=ROOM)[1] == 1


def test_what_is_placed_is_what_was_kept(stages: StageCache, tmp_path: Path) -> None:
    made = source(tmp_path, data=os.urandom(300_000))
    stage = stages.keep(made, ["a"])
    assert placed(stages, stage, tmp_path) == made.read_bytes()
    moved = placed(stages, stage, tmp_path, at=4096)
    assert moved[:4096] == bytes(4096) and moved[4096:] == made.read_bytes()
    kept = stages.folder / f"{stage.name}.btrfs"
    assert kept.stat().st_blocks * 512 < SIZE // 2, "holes stay holes"


@pytest.mark.parametrize("damage", ["edited", "shorter", "emptied", "gone"])
def test_a_damaged_stage_is_refused_and_dropped(stages: StageCache, tmp_path: Path, damage: str) -> None:
    stage = stages.keep(source(tmp_path), ["a"])
    place = stages.folder / f"{stage.name}.btrfs"
    if damage == "edited":
        with open(place, "r+b") as stream:
            stream.seek((1 << 20) + 5000)
            stream.write(b"y")
    elif damage == "gone":
        place.unlink()
    else:
        os.truncate(place, {"shorter": (1 << 20) + 4096, "emptied": 0}[damage])
    with pytest.raises(IntegrityError, match="damaged"):
        placed(stages, stage, tmp_path)
    assert files(stages) == [] and stages.best(["a"], room=ROOM) == (None, 0)


@pytest.mark.parametrize(
    "change", [{"extents": [[0, SIZE + 1]]}, {"extents": [[5, 5]]}, {"name": "../x"}, {"format": 0}, {"keys": None}]
)
def test_a_record_that_is_not_ours_is_no_stage(stages: StageCache, tmp_path: Path, change: dict[str, object]) -> None:
    stage = stages.keep(source(tmp_path), ["a"])
    place = stages.folder / f"{stage.name}.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **change}))
    assert stages.best(["a"], room=ROOM) == (None, 0) and files(stages) == []


def test_the_ones_used_longest_ago_go(tmp_path: Path) -> None:
    stages = StageCache(tmp_path / "stages", limit=2 * 110_000 + 20_000)
    kept = {}
    for number, key in enumerate("abc"):
        kept[key] = stages.keep(source(tmp_path), [key])
        os.utime(stages.folder / f"{kept[key].name}.json", (number, number))
        if key == "b":
            placed(stages, kept["a"], tmp_path)  # used now, so "b" is the oldest
    assert [stages.best([key], room=ROOM)[1] for key in "abc"] == [1, 0, 1]
    tiny = StageCache(tmp_path / "stages", limit=1)
    tiny.keep(source(tmp_path), ["d"])
    assert [tiny.best([key], room=ROOM)[1] for key in "abcd"] == [0, 0, 0, 1], "the newest one stays"


CHILD = """
import os, sys
from pathlib import Path
from rastos.installer import stages
stages.write_json = lambda *_: os.kill(os.getpid(), 9)
stages.StageCache(Path(sys.argv[1])).keep(Path(sys.argv[2]), ["a"])
"""


def test_what_a_killed_build_left_is_no_stage_and_goes(stages: StageCache, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", CHILD, str(stages.folder), str(source(tmp_path))]
    assert subprocess.run(argv).returncode == -9
    assert len(files(stages)) == 1 and stages.best(["a"], room=ROOM) == (None, 0)
    stages.keep(source(tmp_path), ["b"])
    assert len(files(stages)) == 2 and stages.best(["b"], room=ROOM)[1] == 1
