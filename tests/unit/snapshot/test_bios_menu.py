"""The menu of a BIOS's loader: told from the entries, and never without a complete one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rastos.snapshot.bios_menu import FIRST, MARK, SECOND, bios_menu, write_bios_menu
from rastos.snapshot.bootentry import ENTRIES, parse_name, write_entry
from rastos.snapshot.esp import MountedEsp
from rastos.snapshot.store import Store


class PowerCut(Exception):
    pass


class Cut(MountedEsp):
    """Stops before its n-th change."""

    def __init__(self, directory: Path, left: int = 1000) -> None:
        super().__init__(directory)
        self.left = left

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def write(self, path: str, data: bytes | Path) -> None:
        self._count()
        super().write(path, data)

    def remove(self, path: str) -> None:
        self._count()
        super().remove(path)


def store(esp: MountedEsp) -> Store:
    def entries() -> list[Any]:
        found = [parse_name(name) for name in esp.list(ENTRIES)]
        return sorted((item for item in found if item), key=lambda item: item.number)

    return cast(Store, SimpleNamespace(esp=esp, entries=entries))


def entry(esp: MountedEsp, name: str, number: int) -> None:
    text = write_entry(
        number=number, title=f"rastOS {number}", kernel=f"/rastos/{number}/vmlinuz", options="ro console=ttyS0"
    )
    esp.put(f"{ENTRIES}/{name}", text.encode())


@pytest.fixture
def esp(tmp_path: Path) -> Cut:
    made = Cut(tmp_path)
    made.put(MARK, b"")
    entry(made, "rastos-1.conf", 1)
    write_bios_menu(store(made))
    entry(made, "rastos-2+3.conf", 2)
    return made


def test_the_newest_deployment_that_is_not_bad_starts(esp: Cut) -> None:
    entry(esp, "rastos-3+0-3.conf", 3)
    lines = bios_menu(store(esp)).splitlines()
    assert lines[0] == "SERIAL 0 115200" and "DEFAULT rastos-2" in lines
    assert [line for line in lines if line.startswith("LABEL")] == ["LABEL rastos-2", "LABEL rastos-1"]
    assert "  LINUX /rastos/2/vmlinuz" in lines


def test_a_cut_at_every_step_leaves_a_complete_menu(esp: Cut) -> None:
    old, new = esp.read(FIRST), bios_menu(store(esp)).encode()
    assert old != new
    seen = []
    for left in range(4):
        esp.left = 1000
        for path in (FIRST, SECOND):
            esp.write(path, old)
        esp.left = left
        try:
            write_bios_menu(store(esp))
        except PowerCut:
            pass
        effective = esp.read(FIRST if esp.exists(FIRST) else SECOND)
        assert effective in (old, new)
        seen.append(effective == new)
    assert seen == [False, False, True, True]


def test_a_disk_without_that_loader_gets_no_menu(tmp_path: Path) -> None:
    plain = Cut(tmp_path)
    entry(plain, "rastos-1.conf", 1)
    write_bios_menu(store(plain))
    assert not plain.exists("/syslinux") and not plain.exists("/boot")
