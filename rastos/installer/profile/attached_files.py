"""Files a profile brings: where they may go, and where they may come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rastos.host import digest_of

from .reading import Problems
from .values import FirstBootStep, ProfileFile

LARGEST = 16 << 20  # bytes; more than that is for a package
OWNER = re.compile(r"[a-z_][a-z0-9_-]{0,31}|[0-9]{1,9}")
# mounted at boot, or made there: what is put below is never seen
_ELSEWHERE = ("proc", "sys", "dev", "run", "tmp", "efi", "boot")
_OWNED = {  # what writes them, whoever reads them
    "etc/passwd": "[[users]]",
    "etc/shadow": "[[users]]",
    "etc/group": "[[groups]]",
    "etc/gshadow": "[[groups]]",
    "etc/hostname": "hostname",
    "etc/machine-id": "nothing: every machine gets its own",
    "etc/fstab": "the disk layout",
}


def path_fault(path: str) -> tuple[str, str]:
    """Why a file can't go there, and what to do; two empty texts where it can."""
    step = "name a file by its whole path, such as /etc/motd"
    parts = PurePosixPath(path).parts
    if not path.startswith("/") or path.startswith("//") or path.endswith("/") or "\0" in path:
        return f"'{path}' is no path of a file", step
    if ".." in parts or any(ord(character) < 32 for character in path):
        return f"the path '{path}' leads elsewhere", step
    if len(parts) < 3:
        return f"'{path}' would lie in the root folder", step
    if parts[1] in _ELSEWHERE:
        return f"/{parts[1]} is made at boot, nothing put there is seen", "use /etc, /usr, /var, /home, /root or /srv"
    if owner := _OWNED.get("/".join(parts[1:])):
        return f"{path} is not written by [[files]]", f"it comes from {owner}"
    return "", ""


def files_of(tables: Mapping[str, Any], origins: Mapping[str, str], problems: Problems) -> tuple[ProfileFile, ...]:
    """The [[files]] of a profile, content and all."""
    found = []
    for path, table in tables.items():
        where = origins.get(f"files.{path}", "")
        fault, step = path_fault(path)
        if fault:
            problems.add(fault, origins.get(f"files.{path}.path", where), step)
            continue
        content = _content(table, ("content", "source", "template"), f"files.{path}", origins, problems)
        if content is None:
            continue
        for key in ("owner", "group"):
            if not OWNER.fullmatch(table.get(key, "root")):
                on = origins.get(f"files.{path}.{key}", where)
                problems.add(f"'{table[key]}' is no name of {key}", on, "use a name of the system, or a number")
        found.append(
            ProfileFile(
                str(PurePosixPath(path)),
                digest_of(content),
                content,
                table.get("mode", 0o644),
                table.get("owner", "root"),
                table.get("group", "root"),
                "template" in table,
            )
        )
    return tuple(found)


def steps_of(tables: Mapping[str, Any], origins: Mapping[str, str], problems: Problems) -> tuple[FirstBootStep, ...]:
    """The [[first-boot]] steps, in order; a script without #! is one of /bin/sh."""
    found = []
    for name, table in tables.items():
        script = _content(table, ("run", "source"), f"first-boot.{name}", origins, problems)
        if script is not None:
            text = script.decode("utf-8", "surrogateescape").lstrip("\n")
            head = "" if text.startswith("#!") else "#!/bin/sh -e\n"
            found.append(FirstBootStep(name, f"{head}{text.rstrip()}\n"))
    return tuple(found)


def _content(
    table: Mapping[str, Any], ways: tuple[str, ...], name: str, origins: Mapping[str, str], problems: Problems
) -> bytes | None:
    given = [way for way in ways if way in table]
    label = name.partition(".")[2]
    if len(given) != 1:
        what = f"'{label}' has {' and '.join(given)}" if given else f"'{label}' has no content"
        problems.add(what, origins.get(name, ""), f"give it one of {', '.join(ways)}")
        return None
    if given[0] in ("content", "run"):
        return str(table[given[0]]).encode()
    where = origins.get(f"{name}.{given[0]}", "")
    return _beside(str(table[given[0]]), where, problems)


def _beside(relative: str, where: str, problems: Problems) -> bytes | None:
    """A file relative to the profile that names it, never outside its folder, symlinks included."""
    folder = Path(where.rpartition(":")[0]).parent.resolve()
    step = f"put it below {folder} and name it from there"
    if relative.startswith("/") or ".." in PurePosixPath(relative).parts or "\0" in relative or not relative:
        problems.add(f"'{relative}' leads out of the profile's folder", where, step)
        return None
    place = (folder / relative).resolve()
    if folder not in place.parents:
        problems.add(f"'{relative}' is a link out of the profile's folder", where, step)
        return None
    try:
        if not place.is_file():
            problems.add(f"there is no file '{relative}' beside the profile", where, step)
            return None
        if place.stat().st_size > LARGEST:
            problems.add(f"'{relative}' is larger than {LARGEST >> 20} MiB", where, "put it into a package")
            return None
        return place.read_bytes()
    except OSError as error:
        problems.add(f"cannot read '{relative}': {error.strerror}", where, "check the file")
        return None
