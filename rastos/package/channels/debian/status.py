"""dpkg's database in a root, written from the control files of the converted packages that are installed there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.host import write_atomic

from .control import paragraph, paragraphs
from .convert import INFO, merged

_STATUS = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Installed:
    """A converted package on disk: its control fields and the stem of its files in dpkg's info directory."""

    fields: dict[str, str]
    stem: str

    @property
    def name(self) -> str:
        """Name of the package."""
        return self.fields["Package"]

    def file(self, root: Path, kind: str) -> Path:
        """Where its `postinst`, `triggers`, … is (or would be)."""
        return root / INFO / f"{self.stem}.{kind}"

    def lines(self, root: Path, kind: str) -> list[str]:
        """The lines of one of its control files, none if it has none."""
        path = self.file(root, kind)
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def installed(root: Path) -> dict[str, Installed]:
    """Every converted package in `root` by name."""
    found = {}
    for path in sorted((root / INFO).glob("*.control")):
        fields = paragraph(path.read_text(encoding="utf-8", errors="replace"))
        if "Package" in fields:
            found[fields["Package"]] = Installed(fields, path.name.removesuffix(".control"))
    return found


def configured(root: Path) -> dict[str, str]:
    """Name → version of what dpkg's status says is configured."""
    path = root / _STATUS
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        return {
            fields["Package"]: fields.get("Config-Version") or fields.get("Version", "")
            for fields in paragraphs(stream)
            if fields.get("Status", "").endswith(" installed") or "Config-Version" in fields
        }


def write_status(root: Path, packages: Mapping[str, Installed], done: Mapping[str, str]) -> None:
    """Write dpkg's status: packages whose version stands in `done` are installed, the others unpacked."""
    out = []
    for name in sorted(packages):
        package = packages[name]
        version = package.fields["Version"]
        state = "installed" if done.get(name) == version else "unpacked"
        lines = [f"Package: {name}", f"Status: install ok {state}"]
        lines += [
            f"{key}: {value}".replace("\n", "\n ")
            for key, value in package.fields.items()
            if key not in ("Package", "Status", "Conffiles", "Config-Version")
        ]
        if state == "unpacked" and done.get(name):
            lines.append(f"Config-Version: {done[name]}")
        conffiles = [line for line in package.lines(root, "conffiles") if line.startswith("/")]
        if conffiles:
            lines.append("Conffiles:")
            lines += [f" {path} {_md5(root / merged(path[1:]))}" for path in conffiles]
        out.append("\n".join(lines) + "\n")
    for name in ("updates", "triggers", "alternatives", "parts"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True, exist_ok=True)
    write_atomic(root / _STATUS, "\n".join(out))
    for name, text in (("info/format", "1\n"), ("available", ""), ("diversions", ""), ("statoverride", "")):
        path = root / "var/lib/dpkg" / name
        if not path.exists():
            write_atomic(path, text)


def _md5(path: Path) -> str:
    if not path.is_file() or path.is_symlink():
        return "newconffile"
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
