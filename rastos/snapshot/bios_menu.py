"""The menu of a BIOS's boot loader (syslinux), told from the boot entries; a BIOS can't read those itself.

syslinux takes the first configuration it finds: /boot/syslinux, then /syslinux (syslinux wiki, Config). A new menu is written where
nobody looks yet, and counts from the instant at which the old one before it goes: one write, as FAT needs it.
"""

from __future__ import annotations

from .bootentry import ENTRIES, parse_entry
from .esp import Esp
from .store import Store

MARK = "/syslinux/README"  # the loader's own files are hidden ones, which mtools doesn't list
# upper case: so short a name is kept so by mtools, which finds it by exactly what it lists
FIRST, SECOND = "/boot/syslinux/SYSLINUX.CFG", "/syslinux/SYSLINUX.CFG"
TENTHS = 20  # of a second, in which another entry can be named
SERIAL = "console=ttyS0"


def starts_by_bios(esp: Esp) -> bool:
    """Whether a BIOS can start this disk."""
    return esp.exists(MARK)


def write_bios_menu(store: Store) -> None:
    """Bring the menu in line with the boot entries, where there is one. At every instant a complete one is in effect."""
    if not starts_by_bios(store.esp):
        return
    text = bios_menu(store).encode()
    if all(store.esp.exists(path) and store.esp.read(path) == text for path in (FIRST, SECOND)):
        return
    store.esp.write(SECOND, text)
    if store.esp.exists(FIRST):
        store.esp.remove(FIRST)
    store.esp.write(FIRST, text)


def bios_menu(store: Store) -> str:
    """syslinux(1)'s configuration: the newest deployment by default, the others by name."""
    usable = [entry for entry in reversed(store.entries()) if entry.state != "bad"] or store.entries()[::-1]
    texts = {entry.number: parse_entry(store.esp.read(f"{ENTRIES}/{entry.name}").decode()) for entry in usable}
    # a unified kernel image is a program for UEFI
    entries = {number: values for number, values in texts.items() if "linux" in values}
    serial = any(SERIAL in values.get("options", "") for values in entries.values())
    lines = ["SERIAL 0 115200"] if serial else []
    lines += ["PROMPT 1", f"TIMEOUT {TENTHS}"]
    lines += [f"DEFAULT rastos-{number}" for number in list(entries)[:1]]
    for number, values in entries.items():
        lines.append(f"SAY rastos-{number}: {values.get('title', '')}")
    for number, values in entries.items():
        lines += [f"LABEL rastos-{number}", f"  LINUX {values['linux']}"]
        lines += [f"  INITRD {values['initrd']}"] if "initrd" in values else []
        lines.append(f"  APPEND {values.get('options', '')}")
    return "\n".join([*lines, ""])
