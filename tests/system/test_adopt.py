"""Adopting an Arch-like disk: what becomes what, the way back, and an adoption that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.host import read_json
from rastos.installer import open_foreign, open_image, plan_adopt
from rastos.installer.partition import ROOT_TYPE, read_layout
from rastos.package import read_local
from rastos.snapshot import Store, examine
from tests.conftest import ROOT, need
from tests.system.arch_disk import LINUX, LOADER, arch_disk
from tests.system.test_image_create import RELEASE, Workshop, shop  # noqa: F401


@pytest.fixture(scope="module")
def tree(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The files of a small system, without rastos-init."""
    need("sfdisk", "blkid", "lsblk", "btrfs")
    folder = tmp_path_factory.mktemp("arch")
    shop.create(folder / "system.raw", format="raw")
    with open_image(folder / "system.raw", writable=False, purpose="test") as opened:
        subprocess.run(["cp", "--archive", opened.top / "snapshots/0/tree", folder / "tree"], check=True)
    for path in (folder / "tree/usr/lib/sysimage/pacman/local").glob("rastos-init-*"):
        subprocess.run(["rm", "-r", path], check=True)
    subprocess.run(["rm", "-r", folder / "tree/usr/lib/rastos"], check=True)
    for path in (folder / "tree/usr/lib/systemd").rglob("*rastos*"):
        path.unlink()
    for path in sorted((folder / "tree/usr/lib/systemd").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return folder / "tree"


@pytest.fixture
def disk(tree: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "arch.raw"
    kernel = tree / f"usr/lib/modules/{RELEASE}/vmlinuz"
    flat = getattr(request, "param", "") == "flat"
    arch_disk(path, tree, size=400 << 20, esp=40 << 20, kernel=kernel, words="quiet splash", flat=flat)
    return path


def _rastos(shop: Workshop, *words: str | Path, status: int = 0, fault: str = "") -> str:  # noqa: F811
    base = {**os.environ, "RASTOS_CACHE": str(shop.cache), "RASTOS_STATE": str(shop.base)}
    base |= {"RASTOS_FAULT": fault} if fault else {}
    argv = [sys.executable, "-m", "rastos", *(str(word) for word in words)]
    done = subprocess.run(argv, cwd=ROOT, env=base, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if status else "")


def _old_system(path: Path) -> dict[str, str]:
    """Everything that the old system is and boots by."""
    with open_foreign(path, writable=False, purpose="test") as foreign:
        found = {"type": foreign.root.type}
        for name in ("@", "@home", "@log", "@pkg"):
            for file in sorted((foreign.top / name).rglob("*")):
                if file.is_file() and not file.is_symlink():
                    found[f"{name}/{file.relative_to(foreign.top / name)}"] = file.read_text(errors="replace")
        for place in ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi", "/loader/loader.conf"):
            found[place] = foreign.files.read(place).decode(errors="replace")
        found["entries"] = str(foreign.files.list("/loader/entries"))
        found["files"] = str([name for name in foreign.files.list("/") if name != "lost+found"])
        return found


def test_what_becomes_what(shop: Workshop, disk: Path) -> None:  # noqa: F811
    before = _old_system(disk)
    plan = json.loads(_rastos(shop, "adopt", "--image", disk, "--dry-run", "--json"))
    becomes = {item["subvolume"]: item["becomes"] for item in plan["adoptions"]}
    home = {"@home": "home", "@log": "var/log", "@pkg": "var/cache/pacman/pkg"}
    assert becomes == {"@": "snapshot", **home, "@.snapshots": ""}
    assert (plan["subvolume"], plan["kernel"], plan["loader"]) == ("@", RELEASE, "systemd-boot")
    assert plan["cmdline"] == "quiet splash" and plan["fstab"] == ["tmpfs /scratch tmpfs nofail 0 0"]
    assert _old_system(disk) == before, "a plan changes nothing"
    _rastos(shop, "adopt", "--image", disk, "--yes")
    with open_image(disk, writable=False, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        snapshot, current = store.snapshot(0), store.current()
        assert snapshot.kernel == RELEASE and current is not None and current.snapshot == 0
        tree, top = store.tree(0), opened.top
        assert "rastos-init" in read_local(tree / "usr/lib/sysimage/pacman"), "came by a transaction"
        assert os.readlink(tree / "var/lib/pacman") == "../../usr/lib/sysimage/pacman"
        assert (top / "state/home/kim/letter").read_text() == "dear\n"
        assert (top / "state/var/log/old.log").read_text() == "yesterday\n"
        assert (top / "state/var/cache/pacman/pkg/some.pkg").is_file()
        assert (top / "state/var/lib/machine-state").read_text() == "of this machine\n"
        assert (tree / "var/lib/shipped").is_file(), "what packages own stays in the snapshot"
        assert not (tree / "var/lib/machine-state").exists() and not (tree / "home/kim/letter").exists()
        fstab = (top / "deployments/1/etc/fstab").read_text()
        assert "/scratch" in fstab and "subvol=" not in fstab and "/efi vfat" in fstab
        entry = opened.esp.read("/loader/entries/rastos-1+3.conf").decode()
        assert "quiet splash" in entry and "subvol=@" not in entry
        assert b"arch.conf" not in opened.esp.read("/loader/loader.conf")
        assert opened.esp.exists("/loader/entries/arch.conf"), "the old system is in the menu"
        assert [item for item in examine(store) if item.severity == "broken"] == []
    after = _old_system(disk)
    assert {key: value for key, value in after.items() if key[0] == "@"} == {
        key: value for key, value in before.items() if key[0] == "@"
    }
    assert "already" in _rastos(shop, "adopt", "--image", disk, "--yes", status=1)


def test_the_way_back(shop: Workshop, disk: Path) -> None:  # noqa: F811
    before = _old_system(disk)
    _rastos(shop, "adopt", "--image", disk, "--yes")
    assert [part.type for part in read_layout(disk)][1] == ROOT_TYPE
    assert _old_system(disk) != before
    _rastos(shop, "adopt", "--image", disk, "--undo", "--yes")
    assert _old_system(disk) == before, "every file of it, and what it boots by"
    assert [part.type for part in read_layout(disk)][1] == LINUX
    _rastos(shop, "adopt", "--image", disk, "--forget", "--yes")
    with open_foreign(disk, writable=False, purpose="test") as foreign:
        assert sorted(os.listdir(foreign.top)) == ["@", "@.snapshots", "@home", "@log", "@pkg"]
    _rastos(shop, "adopt", "--image", disk, "--yes")


def test_forgetting_the_old_system(shop: Workshop, disk: Path) -> None:  # noqa: F811
    _rastos(shop, "adopt", "--image", disk, "--yes")
    _rastos(shop, "adopt", "--image", disk, "--forget", "--yes")
    with open_image(disk, writable=True, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        assert not (opened.top / "@").exists() and (opened.top / "@.snapshots").exists(), "what was not adopted stays"
        assert store.current() is not None and (opened.top / "state/home/kim/letter").is_file()
    assert "nothing was adopted" in _rastos(shop, "adopt", "--image", disk, "--undo", "--yes", status=1)


@pytest.mark.parametrize("disk", ["flat"], indirect=True)
def test_a_root_at_the_top_level(shop: Workshop, disk: Path) -> None:  # noqa: F811
    _rastos(shop, "adopt", "--image", disk, "--yes")
    with open_image(disk, writable=False, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        assert (opened.top / "state/home/kim/letter").is_file() and (opened.top / "home/kim/letter").is_file()
        assert not (store.tree(0) / "adopted").exists() and not (store.tree(0) / "snapshots").exists()
        assert store.snapshot(0).description == "adopted from the top level"
    assert "by hand" in _rastos(shop, "adopt", "--image", disk, "--forget", "--yes", status=1)
    _rastos(shop, "adopt", "--image", disk, "--undo", "--yes")
    with open_foreign(disk, writable=False, purpose="test") as foreign:
        assert foreign.files.read("/loader/loader.conf").decode() == LOADER


@pytest.mark.parametrize("step", ["copied", "state", "deployed", "loader"])
def test_killed_it_is_undone_by_the_next(shop: Workshop, disk: Path, step: str) -> None:  # noqa: F811
    before = _old_system(disk)
    _rastos(shop, "adopt", "--image", disk, "--yes", status=-9, fault=f"adopt.{step}=kill")
    with open_foreign(disk, writable=False, purpose="test") as foreign:
        assert plan_adopt(foreign).anew
        assert step == "loader" or foreign.files.read("/loader/loader.conf").decode() == LOADER, "the old one boots"
        assert foreign.files.exists("/vmlinuz-linux")
        assert read_json(foreign.top / "adopted/record.json")["state"] == "begun"
    _rastos(shop, "adopt", "--image", disk, "--yes")
    _rastos(shop, "adopt", "--image", disk, "--undo", "--yes")
    assert _old_system(disk) == before


def test_what_can_not_be_adopted(shop: Workshop, disk: Path, tmp_path: Path) -> None:  # noqa: F811
    subprocess.run(["sfdisk", "--quiet", "--no-reread", "--part-type", disk, "1", LINUX], check=True)
    with pytest.raises(UserError, match="no EFI system partition"), open_foreign(disk, writable=False, purpose="test"):
        pass
    empty = tmp_path / "empty.raw"
    empty.write_bytes(bytes(1 << 20))
    with (
        pytest.raises(UserError, match="not a disk image with a GPT"),
        open_foreign(empty, writable=False, purpose="x"),
    ):
        pass
    _rastos(shop, "adopt", status=2)
