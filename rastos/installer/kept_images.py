"""Finished images in the cache: kept under their key, held to their digest while they are copied to an output."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import copy_extents, data_extents, read_json, rename_durable, write_json

from .clock import Clock
from .formats.table import find_format, format_of_name

KEPT_IMAGES = 6
Write = Callable[[Path], None]


def cached_place(cache: Path, key: str, kind: str) -> Path:
    """Where the image of a key and format lies, if it is kept."""
    return cache / "images" / f"{key}{find_format(kind).suffix}"


def record_of(place: Path) -> Path:
    """What a cached image is, beside it; its name ends in one of the formats' suffixes, which may have several dots."""
    return place.with_name(f"{place.name.partition('.')[0]}.json")


def keep_image(
    made: Path, place: Path, output: Path, manifest: Mapping[str, Any], clock: Clock, write: Write | None
) -> None:
    """Bring a new image to its output; then keep it, with what it has to be held to when it is used again."""
    extents = data_extents(made)
    with clock.phase("copy to the output folder"):
        digest = _delivered(made, extents, output, write)
    record = record_of(place)
    record.unlink(missing_ok=True)  # it is about what was there before
    os.replace(made, place)
    write_json(record, {**manifest, "seconds": dict(clock.laps), "sha256": digest, "extents": extents})


def copy_kept(place: Path, output: Path, clock: Clock, write: Write | None) -> bool:
    """Bring the kept image to the output; False: there is none, or it is not what was kept."""
    try:
        record = read_json(record_of(place))
        with clock.phase("copy to the output folder"):
            _delivered(place, record["extents"], output, write, record["sha256"])
    except (FileNotFoundError, KeyError, TypeError):
        return False
    except IntegrityError as error:
        clock.progress.note(f"{error.what}: {error.on}; {error.next_step}", "warning")
        return False
    os.utime(place)
    return True


def _delivered(
    kept: Path, extents: Sequence[Sequence[int]], output: Path, write: Write | None, wanted: str = ""
) -> str:
    """Make the output of a kept image, by `write` where that is more than a copy; its digest. IntegrityError: not `wanted`."""

    def checked(digest: str) -> str:
        if wanted and digest != wanted:
            raise IntegrityError("the cached image is damaged", on=kept, next_step="it is made again")
        return digest

    if write is not None:
        digest = checked(copy_extents(kept, None, extents))
        write(kept)
        return digest
    with _new_output(output) as new:
        os.truncate(new, kept.stat().st_size)
        return checked(copy_extents(kept, new, extents))


def forget_old(cache: Path) -> None:
    """Keep the images used last: each costs what it has on disk."""
    kept = [path for path in (cache / "images").iterdir() if format_of_name(path) is not None]
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_IMAGES:]:
        path.unlink(missing_ok=True)
        record_of(path).unlink(missing_ok=True)


@contextmanager
def _new_output(output: Path) -> Iterator[Path]:
    """A file to write that takes the output's name, durably, once the block is left without an error."""
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(4)}.new")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        number = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
        rename_durable(temporary, output)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
