"""What differs between two snapshots: packages, kernel with its configuration and command line, services, /etc, files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.kernel import kernel_facts, read_config

from .metadata import Snapshot
from .store import DATABASE, Store, package_names

LEFT_OUT = (DATABASE, "etc")
SECTIONS = ("packages", "kernel", "config", "command-line", "services", "etc", "files")
UNITS = ("etc/systemd/system", "etc/systemd/user")


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package: "" for the version where it is not there. Versions as libalpm records them."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One option of the kernel's configuration or one unit's state; "" where it is not set or not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two snapshots; paths are relative to the root. A pair of equal values: no difference."""

    before: int
    after: int
    kernel: tuple[str, str]
    packages: tuple[PackageChange, ...]
    etc: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    config: tuple[ValueChange, ...] = ()
    command_line: tuple[str, str] = ("", "")
    services: tuple[ValueChange, ...] = ()

    def __bool__(self) -> bool:
        pairs = (self.kernel, self.command_line)
        lists = (self.packages, self.etc, self.files, self.config, self.services)
        return any(lists) or any(pair[0] != pair[1] for pair in pairs)


def difference(store: Store, before: int, after: int, *, only: Collection[str] = SECTIONS) -> Difference:
    """Compare two snapshots in these sections; the others stay empty. Raises UserError for an unknown section.

    A file counts as changed by type, size, mode, owner, link target, or content; services are what /etc of the snapshot
    enables and masks (systemctl(1), enable).
    """
    unknown = set(only) - set(SECTIONS)
    if unknown:
        raise UserError(
            f"a difference has no part '{sorted(unknown)[0]}'", next_step=f"its parts: {', '.join(SECTIONS)}"
        )
    old, new = store.snapshot(before), store.snapshot(after)
    left, right = store.tree(old.id), store.tree(new.id)
    had, has = (package_names(left), package_names(right)) if "packages" in only else ({}, {})
    return Difference(
        old.id,
        new.id,
        kernel=(old.kernel, new.kernel) if "kernel" in only else ("", ""),
        packages=tuple(PackageChange(*change) for change in _values(had, has)),
        etc=tuple(_walk(left / "etc", right / "etc", "etc", ())) if "etc" in only else (),
        files=tuple(_walk(left, right, "", LEFT_OUT)) if "files" in only else (),
        config=_changes(_config(left, old), _config(right, new)) if "config" in only else (),
        command_line=(_command_line(left, old), _command_line(right, new)) if "command-line" in only else ("", ""),
        services=_changes(services(left), services(right)) if "services" in only else (),
    )


def services(tree: Path) -> dict[str, str]:
    """Units that a tree's /etc enables or masks: unit → "enabled", "enabled (target)", or "masked"."""
    found: dict[str, str] = {}
    for place in UNITS:
        user = " (user)" if place.endswith("user") else ""
        for name, entry in _names(tree / place).items():
            if entry.is_symlink() and os.readlink(entry.path) == "/dev/null":
                found[name + user] = "masked"
            elif name.endswith((".wants", ".requires")) and entry.is_dir(follow_symlinks=False):
                target = name.rpartition(".")[0]
                for unit in _names(Path(entry.path)):
                    known = found.get(unit + user, "enabled ()")
                    others = [word for word in known.partition("(")[2].rstrip(")").split(", ") if word]
                    found[unit + user] = f"enabled ({', '.join(sorted({*others, target}))})"
    return found


def _values(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _changes(before: dict[str, str], after: dict[str, str]) -> tuple[ValueChange, ...]:
    return tuple(ValueChange(*change) for change in _values(before, after))


def _config(tree: Path, snapshot: Snapshot) -> dict[str, str]:
    place = tree / "usr/lib/modules" / snapshot.kernel / "config"
    try:
        return read_config(place) if snapshot.kernel and place.is_file() else {}
    except (OSError, UnicodeDecodeError):
        return {}


def _command_line(tree: Path, snapshot: Snapshot) -> str:
    try:
        return str(kernel_facts(tree, snapshot.kernel).get("command_line", "")) if snapshot.kernel else ""
    except IntegrityError:
        return ""


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
            elif differs(left / name, right / name, was, now):
                found.append(("changed", path))
    return found


def _names(folder: Path) -> dict[str, os.DirEntry[str]]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def changes_below(left: Path, right: Path) -> list[tuple[str, str]]:
    """(added, removed or changed; path) of all that differs below two folders."""
    return _walk(left, right, "", ())


def differs(left: Path, right: Path, was: os.stat_result, now: os.stat_result) -> bool:
    """Whether two paths that are no folders differ in type, mode, owner, link target or content."""
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
