"""The first program of a deployment: what it mounts, from where, and what it does when it can't."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from rastos.installer.vm import MachineSpec, machine
from rastos.installer.vm.machine import GuestCrashed, booted
from rastos.installer.vm.qemu import argv
from tests.boot.conftest import environment

CACHE = Path(environment()["RASTOS_CACHE"])


def _boot_with(monkeypatch: pytest.MonkeyPatch, words: dict[str, str], *extra: str) -> None:
    """Replace words of the kernel command line by their start, and add words to QEMU's."""

    def changed(spec: MachineSpec) -> list[str]:
        line = argv(spec)
        place = line.index("-append") + 1
        for start, new in words.items():
            line[place] = " ".join(new if word.startswith(start) else word for word in line[place].split())
        return [*line, *extra]

    monkeypatch.setattr(machine, "argv", changed)


@pytest.mark.parametrize("root", ["/dev/vda2", "/dev/vdb2"])
def test_a_copy_of_the_disk_is_told_apart(
    ci_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    twin = Path(shutil.copyfile(ci_image, tmp_path / "twin.qcow2"))
    drive = f"if=none,id=twin,format=qcow2,file={twin},snapshot=on"
    _boot_with(monkeypatch, {"root=": f"root={root}"}, "-drive", drive, "-device", "virtio-blk-pci,drive=twin")
    with booted(ci_image, cache=CACHE, way="direct") as guest:
        guest.wait_agent()
        rows = [row.split() for row in guest.succeed("grep ' btrfs ' /proc/mounts").splitlines()]
        guest.power_off()
    assert {row[1]: row[0] for row in rows} == dict.fromkeys(("/", "/etc", "/var", "/home", "/root", "/srv"), root)
    options = {row[1]: row[3].split(",") for row in rows}
    assert options["/"][0] == "ro" and options["/etc"][0] == "rw" and "noatime" in options["/etc"]


def test_an_etc_that_is_not_there_is_said_and_not_booted(ci_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _boot_with(monkeypatch, {"rastos.deployment=": "rastos.deployment=99"})
    with booted(ci_image, cache=CACHE, way="direct") as guest:
        with pytest.raises(GuestCrashed) as caught:
            guest.wait_agent(120)
        assert "rastos-init: cannot mount deployments/99/etc: No such file or directory" in caught.value.tail
        assert "rebooting in 10 s" in guest.console.text()
        assert _resets(guest), "without a reboot the boot counter never gets to fall back"


def _resets(guest: machine.Machine) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if guest.monitor.seen("RESET"):
            return True
        time.sleep(0.2)
    return False


def test_without_a_deployment_it_only_starts_the_system(ci_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _boot_with(monkeypatch, {"rastos.deployment=": ""})
    with booted(ci_image, cache=CACHE, way="direct") as guest:
        guest.wait_console("Welcome to", 120)
        assert "rastos-init" not in guest.console.text()
