"""systemd-boot on the ESP, by its fallback path too, so that no firmware variable is needed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rastos.errors import HostError
from rastos.host import working_directory
from rastos.kernel import SecureBootKey, sign_efi
from rastos.snapshot import Esp

BINARY = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
PLACES = ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi")
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
