"""A folder with the source of modules: a Kbuild file or Makefile, and perhaps a dkms.conf that names them (dkms(8)).

dkms.conf is a shell script; here it is read, never run: assignments of plain words, with variables set before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*")
_LINE = re.compile(r"\s*([A-Z_]+)(\[\d+\])?=(?:\"([^\"`]*)\"|'([^']*)'|([^\s\"'`;]*))\s*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """`modules`: the names that dkms.conf says are built (without .ko), empty where nothing says so; `ignored` lines of it."""

    folder: Path
    name: str
    version: str
    modules: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def read_source(folder: Path, *, name: str = "", version: str = "") -> ModuleSource:
    """What is there to build; `name` and `version` go before what dkms.conf says. UserError: it isn't a module's source."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise UserError("there is no such folder", on=folder, next_step="give the folder with the module's Makefile")
    if not any((folder / kind).is_file() for kind in ("Kbuild", "Makefile")):
        raise UserError(
            "neither Kbuild nor Makefile here: this is no module's source",
            on=folder,
            next_step="write a Kbuild file: obj-m := NAME.o",
        )
    facts, ignored = _dkms(folder / "dkms.conf")
    found = name or facts.get("PACKAGE_NAME", "") or folder.name.lower()
    number = (version or facts.get("PACKAGE_VERSION", "") or "1").replace("-", "_")
    for value, rule, option in ((found, _NAME, "--name"), (number, _VERSION, "--version")):
        if not rule.fullmatch(value):
            raise UserError(f"'{value}' cannot be part of a package's name", on=folder, next_step=f"give {option}")
    modules = tuple(value for key, value in facts.items() if key.startswith("BUILT_MODULE_NAME"))
    return ModuleSource(folder, found, number, modules, ignored)


def _dkms(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    if not path.is_file():
        return {}, ()
    facts: dict[str, str] = {}
    ignored = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line)
        value = next((text for text in found.groups()[2:] if text is not None), "") if found else ""
        if found and found[4] is None:  # single quotes keep everything as it is
            value = re.sub(r"\$\{?([A-Z_]+)\}?", lambda item: facts.get(item[1], item[0]), value)
        wanted = found is not None and found[1] in ("PACKAGE_NAME", "PACKAGE_VERSION", "BUILT_MODULE_NAME")
        if found and wanted and "$" not in value:
            facts[found[1] + (found[2] or "")] = value
        elif not line.strip().startswith(("DEST_MODULE_LOCATION", "AUTOINSTALL")):
            ignored.append(line.strip())
    return facts, tuple(ignored)
