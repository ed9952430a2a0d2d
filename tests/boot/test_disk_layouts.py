"""Disks of other layouts, booted: an encrypted root, a start by BIOS, a mirror of two disks, swap and a data disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.installer import open_image
from rastos.installer.mirror import second_of
from rastos.installer.partition import ESP_TYPE, read_layout
from rastos.installer.vm import Machine, MachineSpec, booted
from rastos.snapshot import MtoolsEsp
from tests.boot.conftest import Rastos, environment
from tests.conftest import need, unmet

CACHE = Path(environment()["RASTOS_CACHE"])
SECONDS = 300.0
PASSPHRASE = "correct horse, battery; staple"


def typed(machine: Machine, text: str) -> None:
    """Type a line on the serial console."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(machine.spec.console))
        line.sendall(f"{text}\r".encode())
        time.sleep(0.5)  # QEMU takes it before the line is closed


@pytest.fixture(scope="module")
def container_kernel(rastos: Rastos) -> str:
    """A kernel with dm-crypt, everything built in."""
    rastos("kernel", "build", "--profile", "container")
    return "container"


@pytest.fixture(scope="module")
def encrypted(rastos: Rastos, container_kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("cryptsetup")
    try:
        import cryptography  # noqa: F401
    except ImportError:
        unmet("pip install cryptography")
    place = tmp_path_factory.mktemp("luks")
    (place / "passphrase").write_text(f"{PASSPHRASE}\n")
    words = (
        "image",
        "create",
        "--profile",
        "ci",
        "--kernel",
        container_kernel,
        "--luks",
        "--output",
        place / "luks.raw",
    )
    rastos(*words, "--format", "raw", "--luks-passphrase-file", place / "passphrase")
    return place / "luks.raw"


@pytest.mark.long
def test_an_encrypted_root_is_opened_by_its_passphrase(encrypted: Path) -> None:
    with booted(encrypted, cache=CACHE, way="uefi") as machine:
        machine.wait_console("Passphrase for the root file system", SECONDS)
        typed(machine, "not this one")
        machine.wait_console("that passphrase is wrong", SECONDS)
        typed(machine, PASSPHRASE)
        machine.wait_agent(SECONDS)
        assert machine.succeed("findmnt -no SOURCE /").startswith("/dev/dm-")
        machine.succeed("cryptsetup status rastos-root | grep -q LUKS2")
        assert PASSPHRASE not in machine.succeed("cat /proc/*/cmdline | tr '\\0' ' '")
        assert PASSPHRASE not in machine.console.text(), "what is typed is not shown"
        machine.crash()


@pytest.mark.long
def test_three_wrong_passphrases_end_in_a_reboot(encrypted: Path) -> None:
    with booted(encrypted, cache=CACHE, way="uefi") as machine:
        for count in range(1, 4):
            machine._wait(
                f"it asks for the {count}. time",
                SECONDS,
                lambda count=count: machine.console.text().count("Passphrase for the root") >= count,  # type: ignore[misc]
            )
            typed(machine, "not this one")
        machine.wait_console("cannot open the encrypted root", SECONDS)
        machine.wait_console("rebooting in", SECONDS)
        machine.crash()


@pytest.mark.long
def test_nothing_of_an_encrypted_root_is_readable(encrypted: Path) -> None:
    """What every image has, in the clear, must not be in this one: nor the passphrase."""
    done = subprocess.run(["grep", "-c", "-a", "-e", "ID=debian", "-e", PASSPHRASE, encrypted], capture_output=True)
    assert done.stdout.split() == [b"0"]


@pytest.fixture(scope="module")
def bios_image(rastos: Rastos, ci_kernel: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("syslinux")
    place = tmp_path_factory.mktemp("bios") / "bios.qcow2"
    rastos("image", "create", "--profile", "ci", "--bios", "--output", place)
    return place


@pytest.mark.long
def test_a_bios_starts_what_was_deployed_last(rastos: Rastos, bios_image: Path, tmp_path: Path) -> None:
    disk = tmp_path / "bios.qcow2"
    shutil.copyfile(bios_image, disk)
    rastos("snapshot", "deploy", "0", "--image", disk)
    with booted(disk, cache=CACHE, way="bios") as machine:
        machine.wait_console("rastos.deployment=2", SECONDS)
        machine.wait_agent(SECONDS)
        assert "efi" not in machine.succeed("ls /sys/firmware").split()
        # and on the system that runs: the menu follows there too
        machine.succeed("grep -qx 'DEFAULT rastos-2' /efi/boot/syslinux/SYSLINUX.CFG")
        machine.crash()
    # the same disk by UEFI
    with booted(disk, cache=CACHE, way="uefi") as machine:
        machine.wait_console("rastos.deployment=2", SECONDS)
        machine.crash()


@pytest.fixture(scope="module")
def mirror(rastos: Rastos, ci_kernel: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mirror") / "mirror.qcow2"
    rastos("image", "create", "--profile", "ci", "--raid1", "--output", place)
    assert second_of(place).is_file()
    return place


@pytest.mark.long
def test_a_mirror_boots_with_both_disks_and_with_either(mirror: Path) -> None:
    ways: dict[str, Callable[[MachineSpec], MachineSpec]] = {
        "both": lambda spec: spec,
        "the first": lambda spec: replace(spec, second=None),
        "the second": lambda spec: replace(spec, disk=spec.second, second=None),
    }
    for name, change in ways.items():
        with booted(mirror, cache=CACHE, way="uefi", change=change) as machine:
            machine.wait_agent(SECONDS)
            missing = machine.succeed("cat /sys/fs/btrfs/*/devinfo/*/missing").split()
            assert missing.count("1") == (0 if name == "both" else 1), name
            assert ("going on without the rest" in machine.console.text()) == (name != "both")
            machine.succeed("touch /etc/written /var/written && sync")
            machine.crash()


@pytest.mark.long
def test_a_mirror_is_opened_and_changed_as_one(rastos: Rastos, mirror: Path, tmp_path: Path) -> None:
    first = tmp_path / mirror.name
    shutil.copyfile(mirror, first)
    said = rastos("snapshot", "list", "--image", first, status=1)
    assert "the second disk of this mirror is missing" in said
    shutil.copyfile(second_of(mirror), second_of(first))
    rastos("snapshot", "deploy", "0", "--image", first)
    with open_image(first, writable=False, purpose="look at its entries") as opened:
        names = opened.esp.list("/loader/entries")
    raw = tmp_path / "second.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", second_of(first), raw], check=True)
    esp = next(part for part in read_layout(raw) if part.type == ESP_TYPE)
    assert MtoolsEsp(raw, esp.start, esp.size).list("/loader/entries") == names
    assert "rastos-2+3.conf" in names


DISKS = """
sets = ["base"]
packages = ["e2fsprogs"]
kernel = "container"
hostname = "disks"
size = "2G"
esp = "64M"
[disk]
swap = "256M"
[[disk.data]]
label = "pool"
mount = "/srv/data-pool"
size = "512M"
filesystem = "ext4"
"""


@pytest.mark.long
def test_swap_and_a_data_disk_are_there_after_the_boot(rastos: Rastos, container_kernel: str, tmp_path: Path) -> None:
    need("mkfs.ext4")
    (tmp_path / "disks.toml").write_text(DISKS)
    words = ("image", "create", "--profile", tmp_path / "disks.toml", "--output", tmp_path / "disks.qcow2")
    rastos(*words)
    data = tmp_path / "disks-pool.qcow2"
    # whose data it holds is not for an image's creation to decide
    before = data.stat().st_mtime_ns
    rastos(*words, "--force")
    assert data.stat().st_mtime_ns == before
    with booted(
        tmp_path / "disks.qcow2", cache=CACHE, way="uefi", change=lambda spec: replace(spec, second=data)
    ) as machine:
        machine.wait_agent(SECONDS)
        machine.succeed("systemctl start rastos-swap.service srv-data\\x2dpool.mount")
        assert "/run/rastos/swap/swapfile" in machine.succeed("cat /proc/swaps")
        machine.succeed("findmnt -no FSTYPE /srv/data-pool | grep -qx ext4 && touch /srv/data-pool/x")
        assert "swapfile" not in machine.succeed("ls -R /usr /etc 2>/dev/null | grep swapfile || true")
        machine.crash()


def test_unified_kernel_images_are_refused_where_a_bios_starts(rastos: Rastos) -> None:
    said = rastos("image", "create", "--profile", "ci", "--bios", "--uki", "--dry-run", status=1)
    assert "BIOS can't start a unified kernel image" in said
