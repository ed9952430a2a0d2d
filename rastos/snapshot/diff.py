"""What differs between two snapshots: packages, files, /etc, kernel."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from .store import DATABASE, Store, package_names

LEFT_OUT = (DATABASE, "etc")


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package: "" for the version where it is not there. Versions as libalpm records them."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two snapshots; paths are relative to the root."""

    before: int
    after: int
    kernel: tuple[str, str]
    packages: tuple[PackageChange, ...]
    etc: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]


def difference(store: Store, before: int, after: int, *, files: bool = True) -> Difference:
    """Compare two snapshots. A file counts as changed by type, size, mode, owner, link target, or content."""
    old, new = store.snapshot(before), store.snapshot(after)
    left, right = store.tree(old.id), store.tree(new.id)
    had, has = package_names(left), package_names(right)
    packages = tuple(
        PackageChange(name, had.get(name, ""), has.get(name, ""))
        for name in sorted(had.keys() | has.keys())
        if had.get(name) != has.get(name)
    )
    etc = tuple(_walk(left / "etc", right / "etc", "etc", ()))
    rest = tuple(_walk(left, right, "", LEFT_OUT)) if files else ()
    return Difference(old.id, new.id, (old.kernel, new.kernel), packages, etc, rest)


def _walk(left: Path, right: Path, prefix: str, leave_out: tuple[str, ...]) -> list[tuple[str, str]]:
    """(what happened, path): added, removed, changed. A folder that is new or gone is one line."""
    found: list[tuple[str, str]] = []
    here, there = _names(left), _names(right)
    for name in sorted(here.keys() | there.keys()):
        path = f"{prefix}/{name}" if prefix else name
        if path in leave_out:
            continue
        if name not in there:
            found.append(("removed", path))
        elif name not in here:
            found.append(("added", path))
        else:
            was, now = here[name].stat(follow_symlinks=False), there[name].stat(follow_symlinks=False)
            if stat.S_ISDIR(was.st_mode) and stat.S_ISDIR(now.st_mode):
                if (was.st_mode, was.st_uid, was.st_gid) != (now.st_mode, now.st_uid, now.st_gid):
                    found.append(("changed", path))
                found += _walk(left / name, right / name, path, leave_out)
            elif _differs(left / name, right / name, was, now):
                found.append(("changed", path))
    return found


def _names(folder: Path) -> dict[str, os.DirEntry[str]]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def _differs(left: Path, right: Path, was: os.stat_result, now: os.stat_result) -> bool:
    if (was.st_mode, was.st_uid, was.st_gid) != (now.st_mode, now.st_uid, now.st_gid):
        return True
    if stat.S_ISLNK(was.st_mode):
        return os.readlink(left) != os.readlink(right)
    if not stat.S_ISREG(was.st_mode):
        return was.st_rdev != now.st_rdev
    if was.st_size != now.st_size:
        return True
    # a snapshot shares inode numbers; the change time moves with every write, so equal ones mean untouched
    if (was.st_ino, was.st_ctime_ns) == (now.st_ino, now.st_ctime_ns):
        return False
    return left.read_bytes() != right.read_bytes()
