"""An Arch-like disk boots, is adopted, boots as a deployment with its data, and goes back to what it was."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rastos.installer import open_image
from rastos.installer.vm import Machine, booted
from rastos.package import Change, apply_plan, plan_change, target_for
from rastos.progress import Progress
from rastos.snapshot import Store, kernels_in
from tests.boot.conftest import Rastos, environment
from tests.system.arch_disk import arch_disk

BOOT = 600.0
WORDS = "console=ttyS0,115200 panic=10"


@pytest.fixture
def disk(ci_image: Path, tmp_path: Path) -> Path:
    """From the packages of an image, without rastos-init."""
    with open_image(ci_image, writable=False, purpose="take its tree") as opened:
        tree = Store.open(opened.top, opened.esp, writable=False).tree(0)
        subprocess.run(["cp", "--archive", tree, tmp_path / "tree"], check=True)
    target = target_for(tmp_path / "tree", tmp_path / "cache", immutable=True)
    apply_plan(target, [], plan_change(target, [], Change(remove=("rastos-init",)), Progress()), Progress())
    release = kernels_in(tmp_path / "tree")[0].release
    kernel = tmp_path / "tree/usr/lib/modules" / release / "vmlinuz"
    arch_disk(tmp_path / "arch.raw", tmp_path / "tree", size=2 << 30, esp=64 << 20, kernel=kernel, words=WORDS)
    return tmp_path / "arch.raw"


def _facts(machine: Machine) -> dict[str, Any]:
    machine.wait_agent(BOOT)
    assert machine.succeed("cat /home/kim/letter") == "dear\n"
    assert machine.succeed("cat /var/lib/machine-state") == "of this machine\n"
    assert machine.succeed("cat /var/log/old.log") == "yesterday\n"
    root = machine.succeed("findmnt --noheadings --output FSROOT,OPTIONS /").split()
    return {"root": root[0], "written": machine.execute("touch /usr/mark").status == 0}


@pytest.mark.long
def test_an_adopted_disk_boots_and_goes_back(rastos: Rastos, disk: Path) -> None:
    cache = Path(environment()["RASTOS_CACHE"])
    with booted(disk, cache=cache, way="uefi", persist=True) as machine:
        assert _facts(machine) == {"root": "/@", "written": True}
        machine.power_off(BOOT)
    rastos("adopt", "--image", disk, "--yes")
    with booted(disk, cache=cache, way="uefi", persist=True) as machine:
        assert _facts(machine) == {"root": "/snapshots/0/tree", "written": False}
        machine.succeed("systemctl is-system-running --wait", BOOT)
        machine.succeed("echo new > /home/kim/written")
        machine.power_off(BOOT)
    rastos("adopt", "--image", disk, "--undo", "--yes")
    with booted(disk, cache=cache, way="uefi", persist=True) as machine:
        assert _facts(machine) == {"root": "/@", "written": True}
        machine.fails("test -e /home/kim/written")
        machine.power_off(BOOT)
