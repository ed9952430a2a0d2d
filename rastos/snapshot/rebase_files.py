"""Files that a session changed, carried over to another tree: a three-way difference, for what no package answers for.

before: the old parent. after: the snapshot. target: its successor on the new parent, with the packages in place. What the
new parent left alone is taken over; what both changed is a conflict: the snapshot's stays, the other lies beside it as
NAME.rastos-new. A file of a package counts only where the package itself is the same on both sides, or says that the file
is not the one it brought.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import safe_join
from rastos.package import owners, target_for, verify
from rastos.progress import Progress

from .copying import copy_attributes, copy_path, remove_path
from .etc_accounts import ACCOUNTS, LINES, merge_accounts, merge_lines
from .etc_merge import BESIDE
from .store import DATABASE

# not of the tree, or written by programs from what is: the target has its own
LEFT_OUT = ("proc", "sys", "dev", "run", "tmp", DATABASE, "var/cache", "var/log", "var/tmp", "var/lib/dpkg")
GENERATED = (
    "etc/ld.so.cache",
    "etc/.updated",
    "var/.updated",
    "usr/lib/modules/*/modules.*",
    "*/__pycache__",
    "*/__pycache__/*",
    "usr/share/info/dir",
    "usr/share/mime/*",
    "etc/*-",  # the databases of people as they were before the last change
)


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """One path: take (from the snapshot), remove, merge (by entry), or conflict."""

    path: str
    action: str


def session_files(before: Path, after: Path, cache: Path) -> tuple[str, ...]:
    """Paths that differ between a parent and its child and are no package's doing; folders before what is in them."""
    changed = [path for path in _differing(before, after, "") if not _matches(path, GENERATED)]
    if not changed:
        return ()
    names = [f"/{path}" for path in changed]
    had = owners(target_for(before, cache, immutable=True), names)
    has = owners(target_for(after, cache, immutable=True), names)
    theirs = {}
    for path, was, now in zip(changed, had, has, strict=True):
        if (was.packages, was.versions) != (now.packages, now.versions):
            theirs[path] = now.packages
    edited = _edited(after, cache, {name for packages in theirs.values() for name in packages})
    return tuple(path for path in changed if path not in theirs or path in edited)


def plan_carrying(before: Path, after: Path, target: Path, paths: Iterable[str]) -> tuple[CarriedFile, ...]:
    """Decide, path by path; what is there already needs nothing."""
    found = []
    for path in paths:
        was, mine, new = before / path, after / path, target / path
        if same(mine, new):
            continue
        there = os.path.lexists(new)
        untouched = same(was, new) and (_is_folder(mine) or not _is_folder(new) or _alike(was, new))
        if untouched or (os.path.lexists(mine) and not there):
            found.append(CarriedFile(path, "take" if os.path.lexists(mine) else "remove"))
        elif path.removeprefix("etc/") in (*ACCOUNTS, *LINES) and all(map(_is_file, (mine, new))):
            found.append(CarriedFile(path, "merge"))
        elif _is_folder(mine) and _is_folder(new):
            found.append(CarriedFile(path, "take"))
        else:
            found.append(CarriedFile(path, "conflict"))
    return tuple(found)


def carry_over(before: Path, after: Path, target: Path, files: Iterable[CarriedFile]) -> tuple[str, ...]:
    """Do it; the conflicts, as paths. A path whose folder leads out of the target is one of them, and is left alone."""
    conflicts = []
    removed = []
    for item in files:
        try:
            place = safe_join(target, item.path)
        except IntegrityError:
            conflicts.append(item.path)
            continue
        if item.action == "remove":
            removed.append(place)
        elif item.action == "merge":
            base = before / item.path
            old = base.read_text() if _is_file(base) else ""
            mine = (after / item.path).read_text()
            place.write_text(_merged(place, old, mine, target))
        elif item.action == "take":
            _take(after, target, item.path, place)
        else:
            conflicts.append(item.path)
            if os.path.lexists(after / item.path):
                os.rename(place, place.with_name(place.name + BESIDE))
                _take(after, target, item.path, place)
    for place in reversed(removed):  # what is in a folder before the folder
        if _is_folder(place):
            if not any(place.iterdir()):
                place.rmdir()
        elif os.path.lexists(place):  # else its folder went already
            remove_path(place)
    return tuple(conflicts)


def same(one: Path, two: Path) -> bool:
    """Whether two paths are alike: type, mode, owner, content or link, extended attributes; or are both not there."""
    try:
        was = one.lstat()
    except OSError:
        return not os.path.lexists(two)
    try:
        now = two.lstat()
    except OSError:
        return False
    if (was.st_mode, was.st_uid, was.st_gid) != (now.st_mode, now.st_uid, now.st_gid):
        return False
    # a snapshot shares inode numbers; the change time moves with every write, so equal ones mean untouched
    if (was.st_ino, was.st_ctime_ns) == (now.st_ino, now.st_ctime_ns):
        return True
    if _attributes(one) != _attributes(two):
        return False
    if stat.S_ISLNK(was.st_mode):
        return os.readlink(one) == os.readlink(two)
    if stat.S_ISREG(was.st_mode):
        return was.st_size == now.st_size and one.read_bytes() == two.read_bytes()
    return stat.S_ISDIR(was.st_mode) or was.st_rdev == now.st_rdev


def _alike(one: Path, two: Path) -> bool:
    """Whether two folders have the same in them, all the way down."""
    if not _is_folder(one):
        return False
    names = os.listdir(two)
    if sorted(os.listdir(one)) != sorted(names):
        return False
    pairs = [(one / name, two / name) for name in names]
    return all(same(was, now) and (not _is_folder(now) or _alike(was, now)) for was, now in pairs)


def _differing(before: Path, after: Path, folder: str) -> Iterator[str]:
    names = {name for side in (before, after) if _is_folder(side / folder) for name in os.listdir(side / folder)}
    for name in sorted(names):
        path = f"{folder}/{name}" if folder else name
        if path in LEFT_OUT:
            continue
        if not same(before / path, after / path):
            yield path
        if _is_folder(before / path) or _is_folder(after / path):
            yield from _differing(before, after, path)


def _edited(tree: Path, cache: Path, packages: Iterable[str]) -> set[str]:
    names = sorted(packages)
    if not names:
        return set()
    found = verify(target_for(tree, cache, immutable=True), names, Progress())
    return {item.path.lstrip("/") for item in found.findings}


def _take(after: Path, target: Path, path: str, place: Path) -> None:
    if _is_folder(place) and _is_folder(after / path):
        copy_attributes(after / path, place)
        return
    missing = []
    for parent in Path(path).parents:
        if os.path.lexists(target / parent):
            break
        missing.append(parent)
    for parent in reversed(missing):
        copy_path(after / parent, safe_join(target, str(parent)))
    if os.path.lexists(place):
        remove_path(place)
    copy_path(after / path, place)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def _merged(place: Path, base: str, ours: str, tree: Path) -> str:
    """A database of people, ours and the target's entries in one."""
    theirs, name = place.read_text(), place.name
    if name in LINES:
        return merge_lines(base, ours, theirs)
    return merge_accounts({name: base}, {name: ours}, {name: theirs}, tree).texts[name]
