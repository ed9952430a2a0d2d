"""The history of one path over the tree: in which snapshots it appeared, changed or went."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import safe_join

from .diff import changes_below, differs
from .metadata import Snapshot
from .store import Store
from .tree import ancestors

Seen = tuple[Path, os.stat_result | None]


@dataclass(frozen=True, slots=True)
class PathChange:
    """What happened to a path in a snapshot, against its parent: appeared, changed or went.

    `size` is in bytes after it (before it, where it went); `parts` says what of it changed: content, mode, owner, type,
    link target, or how many paths below a folder.
    """

    snapshot: int
    parent: int | None
    created: str
    description: str
    what: str
    size: int
    parts: tuple[str, ...] = ()


def path_log(store: Store, path: str, *, of: int | None = None) -> tuple[PathChange, ...]:
    """All changes of a path, oldest snapshot first; `of`: only on the line from the root to this snapshot.

    Raises UserError where no snapshot has ever had it, IntegrityError for a path that leads out of the tree.
    """
    every = store.snapshots()
    line = every if of is None else ancestors(every, of)
    known = {item.id for item in every}
    relative = path.strip("/")
    if not relative:
        raise UserError("the root itself has no history", next_step="name a file or folder, such as /etc/fstab")
    found = []
    looked: dict[int, Seen] = {}

    def look(number: int) -> Seen:
        if number not in looked:
            looked[number] = _look(store.tree(number), relative)
        return looked[number]

    for item in line:
        parent = item.parent if item.parent in known else None
        change = _change(item, parent, look(item.id), (Path(), None) if parent is None else look(parent))
        if change is not None:
            found.append(change)
    if not found:
        where = "no snapshot has" if of is None else f"neither snapshot {of} nor its ancestors have"
        raise UserError(f"{where} had /{relative}", next_step="paths are as in the running system: /usr/bin/env")
    return tuple(found)


def _change(item: Snapshot, parent: int | None, after: Seen, prior: Seen) -> PathChange | None:
    (place, now), (before, was) = after, prior
    if now is None and was is None:
        return None
    parts: tuple[str, ...] = ()
    if was is None:
        what = "appeared"
    elif now is None:
        what = "went"
    else:
        parts = _parts(before, place, was, now)
        if not parts:
            return None
        what = "changed"
    size = now.st_size if now is not None else was.st_size if was is not None else 0
    return PathChange(item.id, parent, item.created, item.description, what, size, parts)


def _look(tree: Path, relative: str) -> Seen:
    try:
        place = safe_join(tree, relative)
        return place, place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return tree / relative, None
    except IntegrityError:
        # a folder on the way is an absolute link: inside this tree it leads nowhere we may look
        if ".." in relative.split("/"):
            raise
        return tree / relative, None


def _parts(before: Path, after: Path, was: os.stat_result, now: os.stat_result) -> tuple[str, ...]:
    if stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode):
        return ("type",)
    found = []
    if stat.S_IMODE(was.st_mode) != stat.S_IMODE(now.st_mode):
        found.append(f"mode {stat.S_IMODE(was.st_mode):o} → {stat.S_IMODE(now.st_mode):o}")
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        found.append(f"owner {was.st_uid}:{was.st_gid} → {now.st_uid}:{now.st_gid}")
    if stat.S_ISDIR(now.st_mode):
        below = len(changes_below(before, after))
        if below:
            found.append(f"{below} paths below" if below > 1 else "1 path below")
    elif stat.S_ISLNK(now.st_mode):
        targets = os.readlink(before), os.readlink(after)
        if targets[0] != targets[1]:
            found.append(f"link {targets[0]} → {targets[1]}")
    elif not found and differs(before, after, was, now):
        found.append("content")
    elif found and stat.S_ISREG(now.st_mode) and before.read_bytes() != after.read_bytes():
        found.append("content")
    return tuple(found)
