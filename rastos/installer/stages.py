"""Kept stages of images: a btrfs with a tree after each of its layers of packages, from which later images go on.

A stage is a file `<name>.btrfs` and a record of it, written last. What is used is held to the digest in the record while it is
copied: one that is cut short or changed is dropped, and made again. So neither has to be durable.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import copy_extents, data_extents, locked, read_json, write_json

FORMAT = 1
LIMIT = 6 << 30  # bytes on disk of all stages together


@dataclass(frozen=True, slots=True)
class Stage:
    """A kept btrfs of `size` bytes; `keys` are the stages in it, lowest first; `sha256` is over its `extents`."""

    name: str
    keys: tuple[str, ...]
    size: int
    extents: tuple[tuple[int, int], ...]
    sha256: str
    format: int = FORMAT


class StageCache:
    """The stages below a folder; safe to be used by several processes at once."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def best(self, keys: Sequence[str], *, room: int) -> tuple[Stage | None, int]:
        """The stage that goes furthest along `keys` and fits into `room` bytes, and how many of them it has."""
        found: tuple[Stage | None, int] = (None, 0)
        for stage in self._stages():
            same = 0
            for mine, wanted in zip(stage.keys, keys, strict=False):
                if mine != wanted:
                    break
                same += 1
            if stage.size <= room and same > found[1]:
                found = (stage, same)
        return found

    def place(self, stage: Stage, target: Path, *, at: int = 0) -> None:
        """Copy a stage into a file, from byte `at` on. IntegrityError: it is damaged, or gone; it is dropped then."""
        place = self._file(stage.name)
        try:
            digest = copy_extents(place, target, stage.extents, at=at)
        except FileNotFoundError:
            digest = ""
        if digest != stage.sha256:
            self._drop(stage.name)
            raise IntegrityError("a cached stage is damaged", on=place, next_step="it is made again")
        try:
            os.utime(self._record(stage.name))
        except FileNotFoundError:  # somebody made room
            pass

    def keep(self, source: Path, keys: Sequence[str]) -> Stage:
        """Keep a file system that is not mounted as the stage of `keys`, in the place of an older one; then make room."""
        extents = data_extents(source)
        name = f"{keys[-1][:24]}-{secrets.token_hex(4)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock", "keep a stage", wait=120.0):
            place = self._file(name)
            try:
                with open(place, "xb") as stream:
                    os.truncate(stream.fileno(), source.stat().st_size)
                digest = copy_extents(source, place, extents)
                stage = Stage(name, tuple(keys), source.stat().st_size, extents, digest)
                write_json(self._record(name), asdict(stage))
            except BaseException:
                self._drop(name)
                raise
            for other in self._stages():
                # what goes less far on the same way is in this one
                if other.name != name and other.keys == stage.keys[: len(other.keys)]:
                    self._drop(other.name)
            self._make_room(name)
        return stage

    def _make_room(self, newest: str) -> None:
        """Drop the stages used longest ago, and files without a record: those of a killed build."""
        left = self.limit
        records = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        known = sorted((path.stem for path in records), key=lambda name: name != newest)
        for name in known:
            place = self._file(name)
            left -= place.stat().st_blocks * 512 if place.is_file() else 0
            if left < 0 and name != newest:
                self._drop(name)
        for place in self.folder.glob("*.btrfs"):
            if not self._record(place.stem).is_file():
                place.unlink(missing_ok=True)

    def _stages(self) -> list[Stage]:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(_stage(read_json(path)))
            except FileNotFoundError:
                continue
            except (OSError, IntegrityError, KeyError, TypeError, ValueError):
                self._drop(path.stem)
        return found

    def _drop(self, name: str) -> None:
        self._record(name).unlink(missing_ok=True)
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.btrfs"

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _stage(record: dict[str, Any]) -> Stage:
    if record["format"] != FORMAT:
        raise ValueError("of another format")
    extents = tuple((int(start), int(end)) for start, end in record["extents"])
    name = str(record["name"])
    if "/" in name or not all(0 <= start < end <= int(record["size"]) for start, end in extents):
        raise ValueError("not a record of ours")
    return Stage(name, tuple(map(str, record["keys"])), int(record["size"]), extents, str(record["sha256"]))
