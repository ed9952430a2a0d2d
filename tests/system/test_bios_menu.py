"""The menu of a BIOS's loader on a real FAT, by mtools: brought up to date again and again, nothing left over."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from rastos.installer.bootloader import install_bios_loader
from rastos.installer.filesystem import make_esp
from rastos.installer.partition import plan_layout, read_layout, write_layout
from rastos.snapshot import MtoolsEsp, Store
from rastos.snapshot.bios_menu import FIRST, SECOND, starts_by_bios, write_bios_menu
from rastos.snapshot.bootentry import ENTRIES, entry_name, parse_name, write_entry
from tests.conftest import need


def test_each_deploy_finds_the_menu_and_changes_it(tmp_path: Path) -> None:
    need("syslinux", "mkfs.vfat", "mcopy", "sfdisk")
    disk, layout = tmp_path / "disk.raw", plan_layout(400 << 20, 64 << 20, seed="test", bios=True)
    with open(disk, "xb") as stream:
        os.truncate(stream.fileno(), layout.size)
    write_layout(disk, layout)
    make_esp(disk, layout.esp, volume_id="12345678")
    install_bios_loader(disk, layout)
    assert [part.uuid for part in read_layout(disk)] == [layout.esp.uuid, layout.root.uuid], "the table is whole"
    assert disk.read_bytes()[:440].rstrip(b"\0"), "a program in the first sector"
    for number in (1, 2, 3):
        esp = MtoolsEsp(disk, layout.esp.start, layout.esp.size)
        assert starts_by_bios(esp)
        text = write_entry(number=number, title="t", kernel=f"/rastos/{number}/vmlinuz", options="ro")
        esp.put(f"{ENTRIES}/{entry_name(number, 3)}", text.encode())
        found = sorted((item for name in esp.list(ENTRIES) if (item := parse_name(name))), key=lambda item: item.number)
        write_bios_menu(cast(Store, SimpleNamespace(esp=esp, entries=lambda found=found: found)))
        after = MtoolsEsp(disk, layout.esp.start, layout.esp.size)
        assert after.read(FIRST) == after.read(SECOND)
        assert f"DEFAULT rastos-{number}\n" in after.read(FIRST).decode()
        assert after.list("/syslinux") == ["README", "SYSLINUX.CFG"] == after.list("/boot/syslinux")
