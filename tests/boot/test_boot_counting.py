"""A deployment whose boots go wrong is left by the boot loader itself, for the last one that went well."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import Machine, booted
from tests.boot.conftest import Rastos, environment

BOOT = 400.0

BROKEN = """
printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' > /etc/systemd/system/broken.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s ../broken.service /etc/systemd/system/multi-user.target.wants/
"""


@pytest.fixture
def image(ci_image: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(ci_image, tmp_path / "counted.qcow2"))


def _entries(rastos: Rastos, image: Path) -> dict[int, tuple[str, int | None]]:
    found = json.loads(rastos("image", "inspect", "--json", "--image", image))["entries"]
    return {entry["deployment"]: (entry["state"], entry["tries_left"]) for entry in found}


# test_running_system.py has the same from inside, in every run
@pytest.mark.long
def test_falls_back_by_itself(rastos: Rastos, image: Path) -> None:
    at = ("--image", image)
    state = "cat /etc/rastos/deployment.json; systemctl is-system-running || true"
    assert '"deployment": 1' in rastos("image", "boot", "--persist", *at, "--", state)
    assert _entries(rastos, image) == {1: ("good", None)}
    rastos("snapshot", "run", "latest", "-d", "broken", *at, "--", "sh", "-c", BROKEN)
    rastos("snapshot", "deploy", "latest", "--tries", "1", *at)
    with booted(image, cache=Path(environment()["RASTOS_CACHE"]), way="uefi", persist=True) as machine:
        machine.wait_console("this deployment failed its checks (unit:broken.service)", BOOT)
        deadline = time.monotonic() + BOOT
        while not _runs(machine, 1):
            assert time.monotonic() < deadline, machine.console.tail()
            time.sleep(0.5)
        machine.execute("systemctl is-system-running --wait", BOOT)
        machine.power_off()
    assert _entries(rastos, image) == {1: ("good", None), 2: ("bad", 0)}
    told = json.loads(rastos("snapshot", "status", "--json", *at))
    assert [(boot["deployment"], boot["outcome"]) for boot in told["boots"]] == [
        (1, "good"),
        (2, "failed"),
        (1, "good"),
    ]
    assert (told["verdict"]["cause"], told["verdict"]["failed"]) == ("snapshot", ["unit:broken.service"])


def _runs(machine: Machine, number: int) -> bool:
    try:
        return machine.agent.ping() and f'"deployment": {number}' in machine.succeed(
            "cat /etc/rastos/deployment.json", 20
        )
    except ExternalError:
        return False  # on its way down
