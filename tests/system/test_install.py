"""Installing onto disks and image files: what comes onto them, what is refused, and what a killed installation leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import BusyError, IntegrityError, UserError
from rastos.host import attached, mounted, run
from rastos.installer import (
    FoundDisk,
    ImageProfile,
    Installed,
    InstallPlan,
    file_to_make,
    inspect_image,
    install_copy,
    install_packages,
    medium_of,
    open_image,
    plan_copy_to,
    plan_packages_to,
    read_disk,
)
from rastos.installer.filesystem import make_root
from rastos.installer.install import installing
from rastos.package import exact_manifest
from rastos.progress import Progress
from rastos.snapshot import Store
from tests.conftest import ROOT, need
from tests.system.test_image_create import Workshop, shop  # noqa: F401

SIZE = 700 << 20
MACHINE = ImageProfile("here", hostname="here", esp=40 << 20)
BLOB = bytes(range(256)) * 64 + os.urandom(1 << 17)


@pytest.fixture(scope="module")
def medium(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    need("lsblk", "blkid", "sfdisk")
    folder = tmp_path_factory.mktemp("medium")
    (folder / "blob").write_bytes(BLOB)
    (folder / "text").write_text("said again and again\n" * 50_000)
    (folder / "one").write_text("1")
    shop.package("blob", {f"usr/share/{name}": folder / name for name in ("blob", "text", "one")})
    shop.create(folder / "medium.raw", format="raw", hostname="medium", packages=("blob",))
    return folder / "medium.raw"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.raw"


@pytest.fixture
def device(target: Path) -> Iterator[Path]:
    """A block device, as far as anybody can tell."""
    with open(target, "xb") as stream:
        stream.truncate(SIZE)
    with attached(target) as found:
        yield found


def _planned(disk: FoundDisk, medium: Path, shop: Workshop, profile: ImageProfile = MACHINE) -> InstallPlan:  # noqa: F811
    with open_image(medium, writable=False, purpose="plan") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        return plan_copy_to(disk, profile, medium_of(store, 0, cache=shop.cache, progress=Progress()))


def _installed(plan: InstallPlan, medium: Path) -> Installed:
    with open_image(medium, writable=False, purpose="install") as opened:
        return install_copy(plan, Store.open(opened.top, opened.esp, writable=False), Progress())


def _rastos(shop: Workshop, *words: str | Path, status: int = 0, fault: str = "") -> str:  # noqa: F811
    base = {**os.environ, "RASTOS_CACHE": str(shop.cache), "RASTOS_STATE": str(shop.base / "state")}
    base |= {"RASTOS_FAULT": fault} if fault else {}
    argv = [sys.executable, "-m", "rastos", *(str(word) for word in words)]
    done = subprocess.run(argv, cwd=ROOT, env=base, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if status else "")


def _profile(folder: Path, more: str = "") -> Path:
    path = folder / "here.toml"
    path.write_text(f'hostname = "here"\nesp = "40M"\n{more}')
    return path


def test_a_system_is_copied_into_a_new_file(shop: Workshop, medium: Path, target: Path) -> None:  # noqa: F811
    plan = _planned(file_to_make(target, SIZE), medium, shop)
    assert plan.new and not plan.erases
    made = _installed(plan, medium)
    assert (made.hostname, made.snapshot, made.deployment) == ("here", 1, 1) and made.paths > 10
    assert {path.name for path in target.parent.iterdir()} == {target.name, f".{target.name}.lock"}
    found = inspect_image(target)
    assert [item.id for item in found.snapshots] == [0, 1] and found.snapshots[1].parent == 0
    assert found.snapshots[0].uuid == inspect_image(medium).snapshots[0].uuid, "the medium's own snapshot, as it was"
    assert [(item.number, item.snapshot) for item in found.deployments] == [(1, 1)]
    assert found.partitions[1].uuid != inspect_image(medium).partitions[1].uuid
    with open_image(target, writable=False, purpose="test") as opened:
        assert (opened.top / "deployments/1/etc/hostname").read_text() == "here\n"
        assert (opened.top / "snapshots/1/tree/usr/share/blob").read_bytes() == BLOB
        assert found.partitions[1].uuid in opened.esp.read("/loader/entries/rastos-1+3.conf").decode()
        assert found.partitions[0].uuid in (opened.top / "deployments/1/etc/fstab").read_text()
        assert opened.esp.exists("/EFI/BOOT/BOOTX64.EFI")
    trees = []
    for path in (medium, target):
        with open_image(path, writable=False, purpose="test") as opened:
            trees.append([leaf.text for leaf in exact_manifest(opened.top / "snapshots/0/tree")])
    assert trees[0] == trees[1] and len(trees[0]) > 10, "compressed as it lies there, and the same to the last byte"
    assert shop.leftovers() == []


def test_onto_a_block_device(shop: Workshop, medium: Path, device: Path, target: Path) -> None:  # noqa: F811
    disk = read_disk(device)
    assert (disk.kind, disk.size, disk.empty, disk.used_by) == ("disk", SIZE, True, ())
    _installed(_planned(disk, medium, shop), medium)
    now = read_disk(device)
    assert (now.table, [part.content for part in now.parts]) == ("gpt", ["vfat", "btrfs"]) and not now.empty
    assert [item.snapshot for item in inspect_image(target).deployments] == [1]


def test_from_packages(shop: Workshop, target: Path) -> None:  # noqa: F811
    size = 1 << 30
    packages = shop.plan(target, size=size, format="raw", hostname="fresh")
    plan = plan_packages_to(file_to_make(target, size), packages)
    made = install_packages(plan, shop.channels, cache=shop.cache, progress=Progress())
    assert (made.snapshot, made.hostname) == (0, "fresh")
    with open_image(target, writable=False, purpose="test") as opened:
        assert (opened.top / "deployments/1/etc/hostname").read_text() == "fresh\n"


def test_a_disk_in_use_is_refused(shop: Workshop, medium: Path, device: Path, tmp_path: Path) -> None:  # noqa: F811
    make_root(device)
    (tmp_path / "top").mkdir()
    with mounted(device, tmp_path / "top", "btrfs"):
        disk = read_disk(device)
        assert disk.used_by and disk.content == "btrfs"
        with pytest.raises(BusyError) as caught:
            _planned(disk, medium, shop)
        assert "mounted" in caught.value.holder
        # somebody mounted it after the plan was made
        with pytest.raises(BusyError):
            _installed(_planned(replace(disk, used_by=()), medium, shop), medium)
        text = _rastos(shop, "install", device, "--from", medium, "--erase", device.name, status=1)
        assert "in use" in text
    assert run(["blkid", "--probe", device]).stdout, "nothing was written to it"


def test_a_small_disk_is_told_how_much_is_needed(shop: Workshop, medium: Path, target: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"the disk has 400 MiB, (\d+) MiB are needed") as caught:
        _planned(file_to_make(target, 400 << 20), medium, shop)
    needed = int(caught.value.what.split(", ")[1].split()[0])
    assert _planned(file_to_make(target, needed << 20), medium, shop).disk.size == needed << 20
    assert not target.exists()


def test_what_is_on_a_disk_goes_only_by_its_name(shop: Workshop, medium: Path, target: Path, tmp_path: Path) -> None:  # noqa: F811
    words = ["install", "--image", target, "--size", "700M", "--from", medium, "--profile", _profile(tmp_path)]
    plan = json.loads(_rastos(shop, *words, "--dry-run", "--json"))
    assert plan["new"] and not plan["erases"] and not target.exists()
    _rastos(shop, *words, "--yes")
    before = inspect_image(target).partitions
    refused = _rastos(shop, *words, "--yes", status=1)
    assert "gpt with vfat 'ESP', btrfs 'rastos'" in refused and f"--erase {target.name}" in refused
    assert "is not this disk" in _rastos(shop, *words, "--erase", "sda", status=1)
    assert json.loads(_rastos(shop, *words, "--dry-run", "--json"))["erases"]
    assert inspect_image(target).partitions == before
    _rastos(shop, *words, "--erase", target.name)
    assert inspect_image(target).partitions != before


@pytest.mark.parametrize("step", ["cleared", "copied", "filled", "verified"])
def test_killed_it_leaves_a_disk_that_says_nothing(
    shop: Workshop,  # noqa: F811
    medium: Path,
    target: Path,
    tmp_path: Path,
    step: str,
) -> None:
    with open(target, "xb") as stream:
        stream.truncate(SIZE)
    subprocess.run(["sfdisk", "--quiet", target], input=b"label: gpt\nsize=100M\n", check=True)
    words = ["install", "--image", target, "--from", medium, "--profile", _profile(tmp_path)]
    _rastos(shop, *words, "--erase", target.name, status=-9, fault=f"install.{step}=kill")
    assert read_disk(target).empty, "no firmware finds a loader on it"
    _rastos(shop, *words, "--yes")
    assert [item.snapshot for item in inspect_image(target).deployments] == [1]
    assert shop.leftovers() == []


def test_killed_while_it_makes_a_file_there_is_none(
    shop: Workshop,  # noqa: F811
    medium: Path,
    target: Path,
    tmp_path: Path,
) -> None:
    words = ["install", "--image", target, "--size", "700M", "--from", medium, "--profile", _profile(tmp_path), "--yes"]
    _rastos(shop, *words, status=-9, fault="install.written=kill")
    assert not target.exists()
    _rastos(shop, *words)
    assert [path.name for path in target.parent.glob(".rastos-install*")] == [] and target.is_file()


def test_a_disk_that_does_not_keep_what_was_written(
    shop: Workshop,  # noqa: F811
    medium: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = installing._verified

    def damaged(plan: InstallPlan, disk: Path, progress: Progress) -> Installed:
        place = disk.read_bytes().find(BLOB[-4096:])
        assert place > 0
        with open(disk, "r+b") as stream:
            stream.seek(place)
            stream.write(b"\0" * 64)
        return real(plan, disk, progress)

    monkeypatch.setattr(installing, "_verified", damaged)
    with open(target, "xb") as stream:
        stream.truncate(SIZE)
    with pytest.raises(IntegrityError, match="usr/share/blob unreadable"):
        _installed(_planned(read_disk(target), medium, shop), medium)
    assert read_disk(target).empty


def test_a_disk_that_was_exchanged_after_the_question(shop: Workshop, medium: Path, target: Path) -> None:  # noqa: F811
    with open(target, "xb") as stream:
        stream.truncate(SIZE)
    plan = _planned(read_disk(target), medium, shop)
    subprocess.run(["sfdisk", "--quiet", target], input=b"label: gpt\nsize=100M\n", check=True)
    with pytest.raises(IntegrityError, match="not what it was"):
        _installed(plan, medium)
    assert read_disk(target).table == "gpt"


def test_what_is_no_disk(shop: Workshop, tmp_path: Path) -> None:  # noqa: F811
    for path in ("/dev/null", tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="neither a disk nor an image file"):
            read_disk(Path(path))
    with pytest.raises(UserError, match="raw disk, not qcow2"):
        file_to_make(tmp_path / "x.qcow2", SIZE)
    _rastos(shop, "install", status=2)
