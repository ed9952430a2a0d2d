"""Files that two packages have: taken over by `Replaces`, or moved aside by a diversion (dpkg-divert(1)).

libalpm knows neither. What may overwrite what is told to it beforehand (`allowed`); afterwards every such file is put
where dpkg would have it (`settle`), from the converted packages; and what libalpm deletes with a package that no longer
owned it is kept and put back (`keep`, `put_back`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.host import copy_file, safe_join, write_atomic
from rastos.progress import Step

from . import relations
from .convert import merged
from .converted import control_of, listing, members
from .index import compare, holds, split_dependency
from .status import Installed
from .versions import encode

_DIVERSIONS = "var/lib/dpkg/diversions"
_KEPT = "var/lib/dpkg/rastos-kept"
PackageFile = Callable[[str], Path | None]


@dataclass(frozen=True)
class Diversion:
    """`path` of every package but `owner` lies at `to`; paths as dpkg writes them."""

    path: str
    to: str
    owner: str


def diversions(root: Path) -> list[Diversion]:
    """What dpkg-divert has noted in a tree."""
    place = root / _DIVERSIONS
    lines = place.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if place.is_file() else []
    return [Diversion(*lines[at : at + 3]) for at in range(0, len(lines) - 2, 3)]


def replaces(field: str, name: str, version: str) -> bool:
    """Whether a Replaces field names this package in this (Debian) version."""
    for text in relations.replaces(field):
        wanted = split_dependency(text)
        if wanted.name == name:
            if not wanted.operator or holds(compare(encode(version), wanted.version), wanted.operator):
                return True
    return False


def allowed(files: Mapping[str, Path], there: Mapping[str, Installed], root: Path | None) -> tuple[str, ...]:
    """Patterns of files that packages about to be unpacked share with one another or with installed ones, rightly.

    `files`: the converted packages by name; `there`: what `root` has.
    """
    owners: dict[str, list[str]] = {}
    fields: dict[str, dict[str, str]] = {name: there[name].fields for name in there if name not in files}
    diverting: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    listings = {name: listing(path) for name, path in files.items()}
    for name in fields:
        for line in there[name].lines(root, "list") if root else ():
            owners.setdefault(merged(line[1:]), []).append(name)
    for name, listed in listings.items():
        for path, directory in listed.items():
            if not directory:
                known = owners.setdefault(path, [])
                if known:
                    shared[path] = known
                known.append(name)
    for name in {name for names in shared.values() for name in names if name in files}:
        control = control_of(files[name])
        fields[name] = _fields(control)
        preinst = control.get("preinst", (b"", 0))[0].decode("utf-8", "replace")
        diverting[name] = preinst if "dpkg-divert" in preinst else ""
    found = []
    for path, names in shared.items():
        pairs = [(one, two) for one in names for two in names if one != two]
        over = any(_takes(fields[one], fields[two]) for one, two in pairs)
        if over or any(_names(diverting.get(name, ""), path) for name in names):
            found.append(re.sub(r"([*?\[\]\\!])", r"\\\1", path))
    return tuple(sorted(found))


def _fields(control: Mapping[str, tuple[bytes, int]]) -> dict[str, str]:
    from .control import paragraph

    return paragraph(control.get("control", (b"", 0))[0].decode("utf-8", "replace"))


def _takes(new: Mapping[str, str], old: Mapping[str, str]) -> bool:
    return replaces(new.get("Replaces", ""), old["Package"], old["Version"])


def _names(script: str, path: str) -> bool:
    # scripts put paths together from variables; the last part stands there in full
    return bool(script) and re.search(rf"(?<![\w.-]){re.escape(path.rpartition('/')[2])}(?![\w-])", script) is not None


def settle(
    root: Path,
    packages: Mapping[str, Installed],
    changed: Collection[str],
    package_file: PackageFile,
    step: Step,
) -> None:
    """Put files that `changed` packages share with others where dpkg would have them."""
    new = set(changed)
    lists: dict[str, set[str]] = {}

    def literally(name: str) -> set[str]:
        if name not in lists:
            lists[name] = {line for line in packages[name].lines(root, "list") if line != "/."}
        return lists[name]

    def listed(name: str) -> set[str]:
        return {merged(line[1:]) for line in literally(name)}

    for one, two in _pairs(packages, new):
        if two in new and not _takes(packages[two].fields, packages[one].fields):
            both = [path for path in listed(one) & listed(two) if not safe_join(root, path).is_dir()]
            extract(root, one, {path: path for path in both}, package_file, step)
    for diversion in diversions(root):
        path, to = merged(diversion.path[1:]), merged(diversion.to[1:])
        # a diversion means the name as the package has it: /lib64/x is not /usr/lib64/x there, though it is on disk
        others = [name for name in packages if name != diversion.owner and diversion.path in literally(name)]
        if not others or not {*others, diversion.owner} & new or safe_join(root, path).is_dir():
            continue
        fresh = [name for name in others if name in new]
        own = diversion.owner in packages and path in listed(diversion.owner)
        if fresh or not _there(root, to):
            if own or not _there(root, path):
                extract(root, (fresh or others)[0], {path: to}, package_file, step)
            else:
                os.rename(safe_join(root, path), safe_join(root, to))
        if own and fresh:
            extract(root, diversion.owner, {path: path}, package_file, step)
        elif not own and _there(root, path):
            safe_join(root, path).unlink()


def _pairs(packages: Mapping[str, Installed], new: Collection[str]) -> Iterator[tuple[str, str]]:
    """(package, the one it takes files from), where either is new."""
    for one, package in packages.items():
        field = package.fields.get("Replaces", "")
        for text in relations.replaces(field) if field else ():
            two = split_dependency(text).name
            if two in packages and two != one and (one in new or two in new):
                if replaces(field, two, packages[two].fields["Version"]):
                    yield one, two


def extract(root: Path, name: str, paths: Mapping[str, str], package_file: PackageFile, step: Step) -> None:
    """Write members of a package into the tree: path in the package → path in the tree."""
    if not paths:
        return
    source = package_file(name)
    found = members(source, paths) if source else {}
    for path, target in paths.items():
        if path not in found:
            step.note(f"/{target} should be {name}'s, but that package is not at hand: reinstall it", "warning")
            continue
        member, content = found[path]
        place = safe_join(root, target)
        temporary = place.with_name(f".{place.name}.rastos")
        temporary.unlink(missing_ok=True)
        if member.issym():
            temporary.symlink_to(member.linkname)
        else:
            temporary.write_bytes(content)
            os.chown(temporary, member.uid, member.gid)
            temporary.chmod(member.mode & 0o7777)
            os.utime(temporary, (member.mtime, member.mtime))
        os.rename(temporary, place)


def keep(root: Path, packages: Mapping[str, Installed], removing: Collection[str]) -> None:
    """Copy aside what libalpm will delete with `removing` though other packages have it too."""
    going = [name for name in removing if name in packages]
    paths = {merged(line[1:]) for name in going for line in packages[name].lines(root, "list") if line != "/."}
    noted = diversions(root)
    # the file that a diversion moved aside comes back in the place of the diverting package's
    paths -= {merged(d.path[1:]) for d in noted if d.owner in going}
    both: set[str] = set()
    for name in packages:
        if name not in going:
            both |= {merged(line[1:]) for line in packages[name].lines(root, "list")} & paths
    kept = {}
    folder = root / _KEPT
    for number, path in enumerate(sorted(both)):
        place = safe_join(root, path)
        if place.is_symlink():
            kept[path] = f"-> {os.readlink(place)}"
        elif place.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            copy = folder / str(number)
            copy_file(place, copy)
            status = place.stat()
            os.chown(copy, status.st_uid, status.st_gid)
            copy.chmod(status.st_mode & 0o7777)
            kept[path] = str(number)
    away = [
        merged(d.to[1:]) for d in noted if d.owner not in going and merged(d.path[1:]) in paths
    ]  # the diverted file of a package that goes
    if kept or away:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "paths.json", json.dumps({"kept": kept, "away": away}))


def put_back(root: Path, packages: Mapping[str, Installed]) -> None:
    """After a removal: what `keep` has aside, and files diverted by packages that are gone."""
    folder = root / _KEPT
    if (folder / "paths.json").is_file():
        noted = json.loads((folder / "paths.json").read_text(encoding="utf-8"))
        for path, held in noted["kept"].items():
            place = safe_join(root, path)
            if not _there(root, path) and place.parent.is_dir():
                if held.startswith("-> "):
                    place.symlink_to(held[3:])
                else:
                    os.rename(folder / held, place)
        for path in noted["away"]:
            safe_join(root, path).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    all_of_them = diversions(root)
    standing = [d for d in all_of_them if d.owner in packages or d.owner == ":"]
    if len(standing) != len(all_of_them):
        for gone in (d for d in all_of_them if d not in standing):
            path, to = merged(gone.path[1:]), merged(gone.to[1:])
            if _there(root, to) and not _there(root, path):
                os.rename(safe_join(root, to), safe_join(root, path))
        write_atomic(root / _DIVERSIONS, "".join(f"{d.path}\n{d.to}\n{d.owner}\n" for d in standing))


def _there(root: Path, path: str) -> bool:
    return os.path.lexists(safe_join(root, path))


__all__ = ["Diversion", "allowed", "diversions", "extract", "keep", "put_back", "replaces", "settle"]
