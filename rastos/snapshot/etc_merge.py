"""Three-way merge of /etc: pristine of the running snapshot (base), the deployment's (ours), pristine of the new (theirs).

By content, type, mode, owner and extended attributes; never by time. What only one side changed is taken; what both
changed alike is one; the rest is a conflict: ours stays, theirs lies beside it as NAME.rastos-new. Databases of people
(passwd, group, shadow …) are merged entry by entry.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .copying import copy_attributes, copy_path, remove_path

BESIDE = ".rastos-new"
BY_ENTRY = frozenset({"passwd", "group", "shadow", "gshadow", "subuid", "subgid"})
# who this machine is: kept whatever snapshot is deployed
IDENTITY = ("machine-id", "ssh/ssh_host_*")
# written anew for each deployment
OURS_ALONE = ("rastos/deployment.json", "issue.d/rastos.issue")
# rebuilt by programs from their sources; the new snapshot's is right
THEIRS = ("ld.so.cache",)


@dataclass(frozen=True, slots=True)
class Item:
    """What a path is: type, mode, owner, content digest (or link target), extended attributes."""

    kind: int
    mode: int
    owner: tuple[int, int]
    content: str
    attributes: tuple[tuple[str, bytes], ...]


Tree = dict[str, Item]


@dataclass(frozen=True, slots=True)
class EtcMerge:
    """What to do to ours: paths to take from theirs, to remove, to merge by entry, and conflicts (theirs put beside)."""

    take: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def read_tree(root: Path) -> Tree:
    """All paths below a folder, relative to it."""
    found: Tree = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            found[str(path.relative_to(root))] = _item(path)
    return found


def _item(path: Path) -> Item:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    content = ""
    if kind == stat.S_IFREG:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    attributes = tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    mode = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
    return Item(kind, mode, (status.st_uid, status.st_gid), content, attributes)


def plan_merge(base: Tree, ours: Tree, theirs: Tree) -> EtcMerge:
    """Decide, path by path; pure."""
    take: list[str] = []
    remove: list[str] = []
    entries: list[str] = []
    conflicts: list[str] = []
    for path in sorted(base.keys() | ours.keys() | theirs.keys()):
        was, mine, new = base.get(path), ours.get(path), theirs.get(path)
        if _matches(path, OURS_ALONE) or mine == new:
            continue
        if _matches(path, IDENTITY) and mine is not None:
            continue
        if was == new:  # only we changed it
            continue
        if was == mine or (_matches(path, THEIRS) and new is not None):
            (take if new is not None else remove).append(path)
        elif path in BY_ENTRY and mine and new and mine.kind == new.kind == stat.S_IFREG:
            entries.append(path)
        elif new is None:  # they dropped what we changed: it stays
            continue
        elif mine is None:  # we dropped what they changed: it stays dropped, theirs is shown
            conflicts.append(path)
        elif mine.kind == new.kind == stat.S_IFDIR:
            continue  # both keep the folder, attributes ours
        else:
            conflicts.append(path)
    # a folder may go only if all in it goes
    kept = {path for path in ours if path not in remove}
    remove = [path for path in remove if not any(other.startswith(path + "/") for other in kept)]
    return EtcMerge(tuple(take), tuple(remove), tuple(entries), tuple(conflicts))


def merge_entries(base: str, ours: str, theirs: str) -> str:
    """Merge line databases keyed by their first field; ours wins where both changed an entry, order is ours."""
    old, mine, new = _entries(base), _entries(ours), _entries(theirs)
    result = dict(mine)
    for key, line in new.items():
        if key not in mine:
            if key not in old:
                result[key] = line
        elif mine[key] == old.get(key):
            result[key] = line
    for key in old:
        if key not in new and mine.get(key) == old[key]:
            result.pop(key, None)
    return "".join(f"{line}\n" for line in result.values())


def _entries(text: str) -> dict[str, str]:
    return {line.partition(":")[0]: line for line in text.splitlines() if line.strip()}


def apply_merge(merge: EtcMerge, base: Path, target: Path, theirs: Path) -> None:
    """Carry the decisions out in `target`, which holds ours."""
    for path in reversed(merge.remove):  # what is in a folder before the folder
        remove_path(target / path)
    for path in merge.take:
        place = target / path
        if place.is_dir() and not place.is_symlink() and (theirs / path).is_dir():
            copy_attributes(theirs / path, place)
            continue
        if os.path.lexists(place):
            remove_path(place)
        if place.parent.is_dir():
            copy_path(theirs / path, place)
    for path in merge.entries:
        was = (base / path).read_text() if (base / path).is_file() else ""
        (target / path).write_text(merge_entries(was, (target / path).read_text(), (theirs / path).read_text()))
    for path in merge.conflicts:
        place = target / (path + BESIDE)
        if os.path.lexists(place):
            remove_path(place)
        if place.parent.is_dir() and not (theirs / path).is_dir():
            copy_path(theirs / path, place)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
