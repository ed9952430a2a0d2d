"""The one list of system packages (system-packages.txt), and how to install them on this distribution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("system-packages.txt")
INSTALL = {"debian": "apt-get install", "arch": "pacman -S --needed", "fedora": "dnf install"}


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """One row: what is looked for, how badly it is needed (main, some, test), package names, and what for."""

    program: str
    need: str
    names: dict[str, str]
    purpose: str


@cache
def system_packages() -> tuple[SystemPackage, ...]:
    """All rows of the list."""
    rows = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            program, need, debian, arch, fedora, purpose = line.split(None, 5)
            rows.append(SystemPackage(program, need, {"debian": debian, "arch": arch, "fedora": fedora}, purpose))
    return tuple(rows)


@cache
def distribution() -> str:
    """The family of this host: debian, arch or fedora (os-release(5), ID and ID_LIKE); debian where unknown."""
    words: list[str] = []
    for place in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if place.is_file():
            for line in place.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                if key in ("ID", "ID_LIKE"):
                    words += value.strip('"').split()
            break
    return next((name for name in INSTALL if name in words), "debian")


def how_to_install(programs: Iterable[str]) -> str:
    """The command that installs what is missing, as a next step."""
    family = distribution()
    wanted = set(programs)
    known = {row.program: row.names[family] for row in system_packages() if row.program in wanted}
    names = sorted({known.get(program, program) for program in wanted} - {"-"})
    return f"install it: {INSTALL[family]} {' '.join(names)}"
