"""The state contract: which paths all deployments share, which belong to one snapshot, which are reset, and who wrote them.

Declared by packages (usr/lib/rastos/state.d/*.toml of a tree) and by the machine (etc/rastos/state.d/*.toml; a file there
replaces the package's of the same name). What is not declared is shared.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import safe_join

WAYS = ("shared", "per-snapshot", "reset")
PACKAGED, MACHINE = "usr/lib/rastos/state.d", "rastos/state.d"
# mounted by the kernel, by systemd, or the deployment's own
NEVER = frozenset({"etc", "proc", "sys", "dev", "run", "tmp", "efi", "boot"})
ALWAYS_SHARED = frozenset({"var", "home", "root", "srv"})
_PATH = re.compile(r"[^\s,\\:%\"'][^\t\n\r,\\\"']*")


@dataclass(frozen=True, slots=True)
class StatePath:
    """A declared path, relative to the root, and the way it goes."""

    path: str
    way: str
    source: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """The version in which a tree's program writes its state.

    `state`: a file in the state that says which version wrote it. `newer`: warn or refuse, when older programs are to get
    newer state.
    """

    name: str
    version: str
    state: str = ""
    newer: str = "warn"


@dataclass(frozen=True, slots=True)
class Contract:
    """All that a tree and a machine declare."""

    paths: tuple[StatePath, ...] = ()
    stamps: tuple[Stamp, ...] = ()


def read_contract(tree: Path, etc: Path | None = None) -> Contract:
    """The contract of a tree, with what an /etc adds. Raises IntegrityError naming the file that isn't right."""
    files: dict[str, tuple[Path, str]] = {}
    for root, folder, shown in ((tree, PACKAGED, ""), (etc, MACHINE, "etc/")):
        place = safe_join(root, folder) if root is not None else None
        if place is not None and place.is_dir() and not place.is_symlink():
            files |= {path.name: (path, f"/{shown}{folder}/{path.name}") for path in place.glob("*.toml")}
    paths: dict[str, StatePath] = {}
    stamps: dict[str, Stamp] = {}
    for _, (path, shown) in sorted(files.items()):
        table = _load(path, shown)
        for name, way in table.get("paths", {}).items():
            paths[name.rstrip("/")] = _path(name, way, shown)
        for name, value in table.get("stamps", {}).items():
            found = _stamp(name, value, tree, shown)
            if found is not None:
                stamps[name] = found
    _check_nesting(tuple(paths))
    return Contract(tuple(paths[name] for name in sorted(paths)), tuple(stamps[name] for name in sorted(stamps)))


def read_stamps(tree: Path) -> tuple[tuple[str, str], ...]:
    """Names and versions, as recorded of a snapshot; () where the contract isn't right, which its deploy will say."""
    try:
        return tuple((stamp.name, stamp.version) for stamp in read_contract(tree).stamps)
    except IntegrityError:
        return ()


def first_line(root: Path, name: str) -> str:
    """What a version file says; "" where it isn't there. Nothing outside `root` is read."""
    try:
        place = safe_join(root, name)
        if place.is_symlink() or not place.is_file():
            return ""
        with open(place, encoding="utf-8", errors="replace") as stream:
            return stream.readline(200).strip()
    except (OSError, IntegrityError):
        return ""


def newer(one: str, other: str) -> bool:
    """Whether version `one` comes after `other`: numbers by value, "~" before everything, as versions usually are."""
    return _key(one) > _key(other)


def _key(version: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|[a-zA-Z]+|~", version)
    # a "~" part is less than the end, a word less than a number
    ranks = [(0, 0, "") if part == "~" else (3, int(part), "") if part.isdigit() else (2, 0, part) for part in parts]
    return [*ranks, (1, 0, "")]


def _load(path: Path, shown: str) -> dict[str, Any]:
    try:
        if path.is_symlink():
            raise ValueError("it is a symlink")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _wrong(f"can't be read: {error}", shown) from error
    if set(table) - {"paths", "stamps"}:
        raise _wrong(f"has an unknown table '{min(set(table) - {'paths', 'stamps'})}'", shown)
    for name in ("paths", "stamps"):
        if not isinstance(table.get(name, {}), dict):
            raise _wrong(f"[{name}] is no table", shown)
    return table


def _path(name: str, way: object, shown: str) -> StatePath:
    plain = name.rstrip("/")
    parts = plain.split("/")
    if not _PATH.fullmatch(plain) or any(part in ("", ".", "..") for part in parts):
        raise _wrong(f"'{name}' is no path relative to the root", shown)
    if parts[0] in NEVER or plain == "usr" or (plain in ALWAYS_SHARED and way != "shared"):
        raise _wrong(f"/{plain} can't be declared {way}", shown)
    if way not in WAYS:
        raise _wrong(f"'{way}' of /{plain} is none of {', '.join(WAYS)}", shown)
    return StatePath(plain, str(way), shown)


def _stamp(name: str, value: object, tree: Path, shown: str) -> Stamp | None:
    if not isinstance(value, dict) or set(value) - {"version", "file", "state", "newer"}:
        raise _wrong(f"stamp '{name}' has version or file, and may have state and newer", shown)
    if ("version" in value) == ("file" in value):
        raise _wrong(f"stamp '{name}' needs one of version and file", shown)
    if value.get("newer", "warn") not in ("warn", "refuse"):
        raise _wrong(f"newer of stamp '{name}' is neither warn nor refuse", shown)
    version = str(value["version"]) if "version" in value else first_line(tree, str(value["file"]))
    if not version:
        return None  # the program isn't there
    return Stamp(name, version, str(value.get("state", "")), str(value.get("newer", "warn")))


def _check_nesting(paths: tuple[str, ...]) -> None:
    for path in paths:
        inside = next((other for other in paths if other.startswith(path + "/")), None)
        if inside is not None:
            raise _wrong(f"/{inside} is declared, and so is /{path} above it", f"/{path}")


def _wrong(what: str, shown: str) -> IntegrityError:
    return IntegrityError(
        f"the state contract {what}", on=shown, next_step="correct the file; docs/deployments.md has the form"
    )
