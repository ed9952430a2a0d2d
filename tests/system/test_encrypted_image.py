"""An encrypted root: made on this machine, opened where its kernel has a device mapper."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rastos.errors import HostError, UserError
from rastos.host import attached, mounted
from rastos.installer import open_image, use_passphrase_file
from rastos.installer.disk_making import root_place
from rastos.installer.encryption import PASSPHRASE_FILE, encrypt_root, is_encrypted
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.partition import Layout, plan_layout, write_layout
from tests.conftest import need, unmet

PASSPHRASE = b"open sesame"
MAPPER = Path("/sys/class/misc/device-mapper")


@pytest.fixture
def disk(tmp_path: Path) -> tuple[Path, Layout]:
    """A disk with a file in its root, encrypted."""
    need("cryptsetup", "mkfs.btrfs", "mkfs.vfat", "sfdisk")
    pytest.importorskip("cryptography")
    path, layout = tmp_path / "disk.raw", plan_layout(400 << 20, 32 << 20, seed="test", luks=True)
    with open(path, "xb") as stream:
        os.truncate(stream.fileno(), layout.size)
    write_layout(path, layout)
    make_esp(path, layout.esp, volume_id="12345678")
    start, size = root_place(layout)
    (tmp_path / "top").mkdir()
    with attached(path, offset=start, size=size) as device:
        make_root(device)
        with mounted(device, tmp_path / "top", "btrfs", ()) as top:
            # half of it zeros: a block of them is content as well
            (top / "secret").write_bytes(b"not for everybody" * 5000 + bytes(1 << 20))
    (tmp_path / "work").mkdir()
    encrypt_root(path, layout.root, layout.luks_uuid, PASSPHRASE, tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())
    return path, layout


def test_cryptsetup_takes_the_header_and_the_passphrase(disk: tuple[Path, Layout], tmp_path: Path) -> None:
    path, layout = disk
    assert is_encrypted(path, layout.root.start)
    assert b"not for everybody" not in path.read_bytes() and PASSPHRASE not in path.read_bytes()
    with open(path, "rb") as stream:
        stream.seek(layout.root.start)
        (tmp_path / "volume").write_bytes(stream.read(layout.root.size))
    told = subprocess.run(["cryptsetup", "luksUUID", tmp_path / "volume"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == layout.luks_uuid
    words = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(tmp_path / "volume")]
    assert subprocess.run(words, input=PASSPHRASE, capture_output=True).returncode == 0
    assert subprocess.run(words, input=b"another", capture_output=True).returncode == 2


def test_a_kernel_without_device_mapper_says_so(disk: tuple[Path, Layout]) -> None:
    if MAPPER.exists():
        pytest.skip("this kernel has one")
    with pytest.raises(HostError, match="no device mapper"), open_image(disk[0], writable=False, purpose="look"):
        pass


@pytest.mark.long  # of hosts whose kernel can map devices; elsewhere no package brings that
def test_the_passphrase_opens_it(disk: tuple[Path, Layout], tmp_path: Path) -> None:
    if not MAPPER.exists():
        unmet("a kernel with dm-crypt: modprobe dm-crypt")
    token = PASSPHRASE_FILE.set(None)
    try:
        (tmp_path / "wrong").write_text("another\n")
        use_passphrase_file(tmp_path / "wrong")
        with pytest.raises(UserError, match="does not open"), open_image(disk[0], writable=True, purpose="look"):
            pass
        (tmp_path / "right").write_bytes(PASSPHRASE + b"\n")
        use_passphrase_file(tmp_path / "right")
        with open_image(disk[0], writable=True, purpose="look") as opened:
            assert (opened.top / "secret").read_bytes() == b"not for everybody" * 5000 + bytes(1 << 20)
    finally:
        PASSPHRASE_FILE.reset(token)
    assert not list(Path("/dev/mapper").glob("rastos-*"))
