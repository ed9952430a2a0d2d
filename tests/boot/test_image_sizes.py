"""A disk that grew: its root takes the space at the next boot. On an overlay over a vmdk, so that the format boots as well."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rastos.installer import open_image
from rastos.installer.vm import booted
from tests.boot.conftest import Rastos, environment

BOOT = 400.0
GIB = 1 << 30
GROW = "/usr/lib/rastos/grow"


def overlay(base: Path, kind: str, size: str) -> Path:
    """What a cloud does: a copy of the image, on a larger disk."""
    place = base.with_suffix(".larger.qcow2")
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(base), str(place), size]
    subprocess.run(argv, check=True)
    return place


def table(image: Path) -> dict[str, Any]:
    """The partition table, and what sgdisk thinks of it."""
    raw = image.with_suffix(".check.raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    words = subprocess.run(["sgdisk", "--verify", raw], capture_output=True, text=True, check=True).stdout
    shown = subprocess.run(["sfdisk", "--json", raw], capture_output=True, text=True, check=True).stdout
    raw.unlink()
    found: dict[str, Any] = json.loads(shown)["partitiontable"]
    return {**found, "sound": "No problems found" in words}


@pytest.mark.long
def test_a_grown_disk_from_a_vmdk(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    vmdk = tmp_path / "ci.vmdk"
    rastos("image", "convert", ci_image, vmdk)
    image = overlay(vmdk, "vmdk", "5G")
    with booted(image, cache=Path(environment()["RASTOS_CACHE"]), way="uefi", persist=True) as machine:
        machine.wait_agent(BOOT)
        assert machine.succeed("systemctl is-system-running --wait", BOOT).strip() == "running"
        sizes = [int(word) for word in machine.succeed("stat -f -c '%b %S' /var").split()]
        assert 4.8 * GIB < sizes[0] * sizes[1] < 5 * GIB
        said = machine.succeed("journalctl -b -u rastos-grow.service -o cat")
        assert "partition vda2 has" in said and "the file system on vda2 has" in said
        before = machine.succeed("head -c 1M /dev/vda | sha256sum; tail -c 1M /dev/vda | sha256sum")
        assert machine.succeed(f"{GROW} && echo nothing").strip() == "nothing", "there is nothing left to do"
        assert machine.succeed("head -c 1M /dev/vda | sha256sum; tail -c 1M /dev/vda | sha256sum") == before
        machine.power_off(BOOT)
    found = table(image)
    assert found["sound"] and found["partitions"][1]["size"] * 512 == 5 * GIB - (66 << 20)
    with open_image(image, writable=False, purpose="test") as opened:
        assert (opened.top / "store.json").is_file()


@pytest.mark.long
def test_a_disk_that_is_not_ours_is_left_alone(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    raw = tmp_path / "ci.raw"
    rastos("image", "convert", ci_image, raw)
    subprocess.run(["truncate", "-s", "4G", raw], check=True)
    subprocess.run(["sfdisk", "-q", "--no-reread", "--part-type", raw, "2", "linux"], check=True)
    with raw.open("rb") as stream:
        before = stream.read(1 << 20)
    with booted(raw, cache=Path(environment()["RASTOS_CACHE"]), way="uefi", persist=True) as machine:
        machine.wait_agent(BOOT)
        assert machine.succeed("systemctl is-system-running --wait", BOOT).strip() == "running"
        assert int(machine.succeed("cat /sys/class/block/vda2/size")) * 512 < 2 * GIB
        assert "rastos-grow:" not in machine.succeed("journalctl -b -u rastos-grow.service -o cat")
        machine.power_off(BOOT)
    with raw.open("rb") as stream:
        assert stream.read(1 << 20) == before


@pytest.mark.long
def test_the_root_ends_where_another_partition_begins(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    raw = tmp_path / "ci.raw"
    rastos("image", "convert", ci_image, raw)
    subprocess.run(["truncate", "-s", "4G", raw], check=True)
    subprocess.run(["sgdisk", "--move-second-header", "--new=3:3G:0", raw], check=True, capture_output=True)
    third = table(raw)["partitions"][2]
    with booted(raw, cache=Path(environment()["RASTOS_CACHE"]), way="uefi", persist=True) as machine:
        machine.wait_agent(BOOT)
        assert machine.succeed("systemctl is-system-running --wait", BOOT).strip() == "running"
        assert int(machine.succeed("cat /sys/class/block/vda2/size")) * 512 == 3 * GIB - (65 << 20)
        machine.power_off(BOOT)
    found = table(raw)
    assert found["sound"] and found["partitions"][2] == third
