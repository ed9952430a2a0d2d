"""The ESP of a running system: folders come from those in store, and go back there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.snapshot import MountedEsp
from rastos.snapshot.esp import SPARE

KERNEL = "/rastos/0123456789abcdef/vmlinuz"


def _esp(folder: Path, *spares: str) -> MountedEsp:
    esp = MountedEsp(folder)
    esp.prepare()
    for name in spares:
        (folder / "rastos" / f"{SPARE}{name}").mkdir()
    return esp


def test_a_kernel_gets_a_spare_folder_and_gives_it_back(tmp_path: Path) -> None:
    esp = _esp(tmp_path, "000-folder", "001-folder")
    there = {path.stat().st_ino for path in (tmp_path / "rastos").iterdir()}
    esp.write(KERNEL, b"kernel")
    assert esp.read(KERNEL) == b"kernel" and esp.list("/rastos") == ["0123456789abcdef"]
    assert {path.stat().st_ino for path in (tmp_path / "rastos").iterdir()} == there, "none was made"
    assert [path.name for path in (tmp_path / "rastos/0123456789abcdef").iterdir()] == ["vmlinuz"]
    esp.remove("/rastos/0123456789abcdef")
    assert esp.list("/rastos") == [] and not esp.exists(KERNEL)
    assert {path.stat().st_ino for path in (tmp_path / "rastos").iterdir()} == there, "and none is lost"
    assert all(path.name.startswith(SPARE) and not any(path.iterdir()) for path in (tmp_path / "rastos").iterdir())


def test_without_spare_folders_one_is_made(tmp_path: Path) -> None:
    esp = _esp(tmp_path)
    esp.write(KERNEL, b"kernel")
    assert esp.read(KERNEL) == b"kernel"
    esp.write("/EFI/BOOT/BOOTX64.EFI", b"loader")
    esp.remove("/EFI/BOOT")
    assert not (tmp_path / "EFI/BOOT").exists(), "only kernels' folders are kept"


def test_one_folder_with_two_names_is_refused(tmp_path: Path) -> None:
    esp = _esp(tmp_path, "000-folder")
    (tmp_path / "rastos" / f"{SPARE}001-folder").symlink_to("0123456789abcdef")  # as two slots that name one cluster
    with pytest.raises(IntegrityError, match="are one folder"):
        esp.write(KERNEL, b"kernel")
    assert list((tmp_path / "rastos/0123456789abcdef").iterdir()) == []
