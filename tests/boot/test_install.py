"""The live image installs onto a second disk, by itself; the machine powers off, and that disk boots alone."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.installer.vm import MachineSpec, booted
from rastos.installer.vm.hardware import FittedDisk
from tests.boot.conftest import Rastos, environment
from tests.conftest import need

BOOT = 600.0
INSTALL = 3000.0
MEDIUM = """\
inherits = "live"
sets = ["-server", "base"]
kernel = "container"
"""
ANSWERS = """\
inherits = "server"
hostname = "installed"
timezone = "Europe/Berlin"

[[users]]
name = "kim"
groups = ["users"]

[install]
choose = "largest"
after = "poweroff"
"""


@pytest.fixture(scope="module")
def live(rastos: Rastos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The live profile, for an emulated machine: the least packages, and a kernel that has its drivers built in."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "live.toml").write_text(MEDIUM)
    rastos("kernel", "build", "--profile", "container")
    rastos("image", "create", "--profile", folder / "live.toml", "--output", folder / "live.raw")
    return folder / "live.raw"


def _answers_disk(folder: Path) -> Path:
    need("mkfs.vfat", "mcopy")
    place = folder / "answers.img"
    with open(place, "xb") as stream:
        stream.truncate(4 << 20)
    subprocess.run(["mkfs.vfat", "-n", "RASTOS-CONF", place], check=True, capture_output=True)
    (folder / "answers.toml").write_text(ANSWERS)
    subprocess.run(["mcopy", "-i", place, folder / "answers.toml", "::/answers.toml"], check=True)
    return place


@pytest.mark.long
def test_the_live_image_installs_and_the_disk_boots_alone(live: Path, tmp_path: Path) -> None:
    cache = Path(environment()["RASTOS_CACHE"])
    target, answers = tmp_path / "target.raw", _answers_disk(tmp_path)
    with open(target, "xb") as stream:
        stream.truncate(4 << 30)

    def fitted(spec: MachineSpec) -> MachineSpec:
        disks = (FittedDisk(target, "raw", True), FittedDisk(answers, "raw"))
        return replace(spec, fitted=replace(spec.fitted, disks=disks))

    with booted(live, cache=cache, way="uefi", change=fitted, keep_log=tmp_path / "live.log") as machine:
        machine.wait_agent(BOOT)
        found = {item["path"]: item for item in json.loads(machine.succeed("rastos install --list --json", BOOT))}
        assert "/dev/vda2 is mounted" in " ".join(found["/dev/vda"]["used_by"])
        refused = machine.execute("rastos install /dev/vda --erase vda", BOOT)
        assert refused.status == 1 and "the disk is in use" in refused.text
        assert "Nothing on your disks is touched" in machine.console.text(), "the installer's shell"
        deadline = time.monotonic() + INSTALL
        while machine.process.poll() is None:
            assert time.monotonic() < deadline, machine.console.tail()
            time.sleep(0.5)
        assert machine.process.returncode == 0 and "installed installed and verified" in machine.console.text()
    with booted(target, cache=cache, way="uefi", persist=True) as machine:
        machine.wait_agent(BOOT)
        assert machine.succeed("systemctl is-system-running --wait", BOOT).strip() == "running"
        assert machine.succeed("hostname").strip() == "installed"
        assert "(users)" in machine.succeed("id kim") and "Europe/Berlin" in machine.succeed("readlink /etc/localtime")
        tree = json.loads(machine.succeed("rastos snapshot tree --json", BOOT))
        assert [item["id"] for item in tree] == [0, 1] and "booted" in tree[1]["marks"]
        assert machine.succeed("cat /proc/cmdline").count("rastos.live") == 0
        machine.fails("systemctl is-active rastos-live@ttyS0.service")
        machine.power_off(BOOT)
