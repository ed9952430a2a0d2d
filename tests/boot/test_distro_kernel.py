"""An image with the distribution's kernel: all modular, so that nothing but the initramfs can find and mount its root."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.boot.conftest import Rastos

SECONDS = "600"  # an emulated guest with a kernel of this size, on a busy machine


@pytest.fixture(scope="module")
def image(rastos: Rastos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("distro") / "distro.qcow2"
    rastos("image", "create", "--profile", "ci", "--kernel", "distro", "--output", place)
    return place


def test_its_initramfs_holds_what_mounts_the_root(rastos: Rastos, image: Path) -> None:
    plan = json.loads(rastos("kernel", "initramfs", "--image", image, "--json"))
    names = {module["name"] for module in plan["modules"]}
    assert {"btrfs", "virtio_pci", "virtio_blk", "sd_mod"} <= names
    assert not plan["missing"]
    entry = json.loads(rastos("snapshot", "show", "0", "--image", image, "--json"))
    assert [kernel["package"] for kernel in entry["kernels"]] == ["linux-rastos-distro"]
    assert entry["kernel"] == plan["release"]


@pytest.mark.long  # the unified image below is started by firmware, too
def test_boots_by_firmware_and_directly(rastos: Rastos, image: Path) -> None:
    ask = "findmnt -no FSTYPE / | grep -qx btrfs && grep -q ^btrfs /proc/modules && modprobe dummy && test -e /sys/module/dummy"
    words = ("image", "test", "--image", image, "--timeout", SECONDS, "--run", ask, "--json")
    report = json.loads(rastos(*words))
    assert report["passed"]
    assert set(report["boots"]) == {"uefi", "direct"}


def test_boots_by_a_unified_kernel_image(rastos: Rastos, image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "uki.qcow2"
    shutil.copyfile(image, copy)
    rastos("snapshot", "deploy", "0", "--uki", "--image", copy)
    # the stub says so by an EFI variable of its own (systemd-stub(7))
    ask = "test -e /sys/firmware/efi/efivars/StubInfo-* && systemctl is-system-running --wait && cat /proc/cmdline"
    words = ("image", "boot", "--uefi", "--timeout", SECONDS, "--image", copy, "--", ask)
    seen = rastos(*words)
    assert "rastos.deployment=2" in seen.split() and "running" in seen.split()


def test_check_knows_that_an_initramfs_will_be_made(rastos: Rastos, image: Path) -> None:
    rastos("kernel", "check", "distro", "--for", "boot")
    rastos("kernel", "check", "--image", image, "--for", "boot", "--json")
