"""systemd-boot on the ESP, by its fallback path too, so that no firmware variable is needed; syslinux for a BIOS."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rastos.errors import HostError
from rastos.host import require_programs, run, working_directory
from rastos.kernel import SecureBootKey, sign_efi
from rastos.snapshot import Esp, MtoolsEsp

from .partition import Layout

BINARY = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
PLACES = ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi")
FIRST_PROGRAM = (
    "/usr/lib/syslinux/mbr/gptmbr.bin",
    "/usr/lib/syslinux/bios/gptmbr.bin",
    "/usr/share/syslinux/gptmbr.bin",
)
CODE_BYTES = 440  # of a disk's first sector, before its signature and table
BIOS_FOLDERS = ("/boot/syslinux", "/syslinux")
CONFIGURATION = """\
# Written by rastos. No default is named: the newest deployment that was not found bad starts.
timeout 1
console-mode keep
editor no
"""


def install_bootloader(esp: Esp, tree: Path, secure_boot: SecureBootKey | None = None) -> None:
    """Put the loader and its configuration on the ESP; the tree's own loader, else the host's; signed where a key is given.

    Raises HostError where neither has one.
    """
    for root in (tree, Path("/")):
        binary = root / BINARY
        if binary.is_file():
            break
    else:
        raise HostError(
            "no systemd-boot for the ESP",
            on=BINARY,
            next_step="add systemd-boot to the packages, or install systemd-boot-efi here",
        )
    with working_directory(Path(tempfile.gettempdir()), "rastos-loader-") as work:
        if secure_boot is not None:
            shutil.copyfile(binary, work / binary.name)
            binary = work / binary.name
            sign_efi(binary, secure_boot)
        for place in PLACES:
            esp.write(place, binary)
    esp.write("/loader/loader.conf", CONFIGURATION.encode())
    # bootctl(1): this name tells tools that entries are of type 1
    esp.write("/loader/entries.srel", b"type1\n")


def install_bios_loader(disk: Path, layout: Layout) -> None:
    """Make the ESP of a disk file one that a BIOS starts from too: syslinux(1), and its program for GPT in the first sector.

    The menu comes with the first deployment. Raises HostError where this host has no syslinux.
    """
    require_programs("syslinux")
    first = next((Path(path) for path in FIRST_PROGRAM if Path(path).is_file()), None)
    if first is None:
        raise HostError(
            "no syslinux program for a GPT disk here",
            on=FIRST_PROGRAM[0],
            next_step="install syslinux-common (Debian) or syslinux",
        )
    code = first.read_bytes()
    if len(code) > CODE_BYTES:
        raise HostError(f"this is no program for a disk's first sector: {len(code)} bytes", on=first)
    esp = MtoolsEsp(disk, layout.esp.start, layout.esp.size)
    for folder in BIOS_FOLDERS:  # both now: no deploy makes a folder (docs/commit-protocol.md)
        esp.write(f"{folder}/README", b"The menu of the boot loader for a BIOS, written by rastos at each deploy.\n")
    run(
        ["syslinux", "--install", "--directory", "/syslinux", "--offset", str(layout.esp.start), disk],
        what="install syslinux",
    )
    with open(disk, "r+b") as stream:
        stream.write(code)
