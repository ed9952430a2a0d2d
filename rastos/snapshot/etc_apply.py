"""Carrying a merge of /etc out, in a copy of ours that nothing uses yet; nothing is written through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import read_json, write_json

from .copying import copy_attributes, copy_path, remove_path
from .etc_merge import EtcConflict, EtcMerge, Mixed
from .etc_tree import Item

CONFLICTS = "rastos/etc-conflicts.json"


def apply_merge(merge: EtcMerge, target: Path, theirs: Path) -> None:
    """Carry the decisions out in `target`, which holds ours."""
    for path in reversed(merge.remove):  # what is in a folder before the folder
        remove_path(target / path)
    for path in merge.take:
        if make_parents(target, path, theirs):
            put_path(theirs / path, target / path)
    for item in merge.mixed:
        _mix(item, target / item.path, theirs / item.path)
    for path, text in merge.texts:
        (target / path).write_text(text, encoding="utf-8", errors="surrogateescape")
    for found in merge.details:
        if found.beside and make_parents(target, found.beside, theirs):
            copy_whole(theirs / found.path, target / found.beside)


def put_path(source: Path, place: Path) -> None:
    """Make `place` what `source` is; a folder that is there keeps what is in it."""
    if _real_folder(place) and _real_folder(source):
        copy_attributes(source, place)
        return
    if os.path.lexists(place):
        remove_path(place)
    copy_path(source, place)


def copy_whole(source: Path, place: Path) -> None:
    """A copy of a path with all that is in it, in the place of what is there."""
    if not os.path.lexists(source):
        return
    if os.path.lexists(place):
        remove_path(place)
    copy_path(source, place)
    if _real_folder(source):
        for name in sorted(os.listdir(source)):
            copy_whole(source / name, place / name)
        copy_attributes(source, place)


def make_parents(root: Path, path: str, model: Path) -> bool:
    """Make the folders above a path, as those of `model` are; False where one of them is no folder (a link, a file)."""
    above = ""
    for part in path.split("/")[:-1]:
        above = f"{above}/{part}" if above else part
        place = root / above
        if not os.path.lexists(place):
            place.mkdir()
            if _real_folder(model / above):
                copy_attributes(model / above, place)
        elif not _real_folder(place):
            return False
    return True


def own_folder(etc: Path, name: str) -> Path:
    """A folder of ours in /etc; what has its name and is none gives way."""
    place = etc / name
    if os.path.lexists(place) and not _real_folder(place):
        place.unlink()
    place.mkdir(exist_ok=True)
    return place


def _mix(mixed: Mixed, place: Path, theirs: Path) -> None:
    if mixed.source == "theirs":
        put_path(theirs, place)
    elif mixed.text is not None:
        place.write_bytes(mixed.text.encode())
    set_attributes(place, mixed.item)


def set_attributes(place: Path, item: Item) -> None:
    """Owner, mode and extended attributes as the item says."""
    os.lchown(place, *item.owner)
    if item.kind != stat.S_IFLNK:
        os.chmod(place, item.mode)
    wanted = dict(item.attributes)
    for name in os.listxattr(place, follow_symlinks=False):
        if name not in wanted:
            os.removexattr(place, name, follow_symlinks=False)
    for name, value in wanted.items():
        os.setxattr(place, name, value, follow_symlinks=False)


def open_conflicts(etc: Path) -> tuple[EtcConflict, ...]:
    """Those noted in an /etc that nobody has settled: what lay beside still lies there. () where the note is damaged."""
    place = etc / CONFLICTS
    if place.is_symlink() or place.parent.is_symlink() or not place.is_file():
        return ()
    try:
        rows = read_json(place)
        found = [_conflict(row) for row in rows]
    except (OSError, IntegrityError, TypeError, KeyError):
        return ()
    return tuple(item for item in found if not item.beside or os.path.lexists(etc / item.beside))


def _conflict(row: dict[str, Any]) -> EtcConflict:
    """The file lies in the machine's own /etc: whoever is root there may have written anything into it."""
    for name in (str(row["path"]), str(row["beside"])):
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise KeyError(name)
    return EtcConflict(str(row["path"]), str(row["why"]), str(row["beside"]), row.get("base"), row.get("new"))


def note_conflicts(etc: Path, conflicts: tuple[EtcConflict, ...]) -> None:
    """Write the list that /etc carries along; an empty one is no file."""
    place = own_folder(etc, "rastos") / "etc-conflicts.json"
    if not conflicts:
        place.unlink(missing_ok=True)
        return
    write_json(place, [item.to_json() for item in sorted(conflicts, key=lambda item: item.path)])


def _real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
