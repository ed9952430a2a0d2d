"""A deployment that hangs is left without help: by the deadline where systemd still runs, by the watchdog where it doesn't."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import Machine, booted
from tests.boot.conftest import Rastos, environment

pytestmark = pytest.mark.long  # three boots, and the time until a hang counts as one

BOOT = 1500.0
# both in the tree: nothing in /etc has to be right for it
UNIT = """
cd /usr/lib/systemd/system
printf '[Unit]\\nDefaultDependencies=no\\nConflicts=shutdown.target\\nAfter=rastos-boot-record.service\\n%s\\n' "$ORDER" > hang.service
printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "%s"\\n' "$HANG" >> hang.service
mkdir -p sysinit.target.wants
ln -s ../hang.service sysinit.target.wants/
"""
# a service that never ends, early: a timer that waits for basic.target as others do would never start
BLOCKED = (
    'ORDER="Before=sysinit.target"; HANG="sleep infinity"' + UNIT + "mkdir rastos-boot-deadline.timer.d\n"
    "printf '[Timer]\\nOnBootSec=\\nOnBootSec=60\\n' > rastos-boot-deadline.timer.d/soon.conf\n"
)
# systemd that takes a fault stands still for good ("Freezing execution"), and nothing can restart anything
FROZEN = (
    'ORDER=""; HANG="kill -SEGV 1"'
    + UNIT
    + "printf '[Manager]\\nRuntimeWatchdogSec=30\\n' > /usr/lib/systemd/system.conf.d/60-soon.conf\n"
)


@pytest.fixture
def image(ci_image: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(ci_image, tmp_path / "hangs.qcow2"))


def test_each_hang_ends_in_the_deployment_before(rastos: Rastos, image: Path) -> None:
    at = ("--image", image)
    for name, change in (("blocked", BLOCKED), ("frozen", FROZEN)):
        rastos("snapshot", "run", "0", "-d", name, *at, "--", "sh", "-ec", change)
        rastos("snapshot", "deploy", "latest", "--tries", "1", *at)
    with booted(
        image,
        cache=Path(environment()["RASTOS_CACHE"]),
        way="uefi",
        persist=True,
        change=lambda spec: replace(spec, watchdog="reset"),
    ) as machine:
        deadline = time.monotonic() + BOOT
        while not _runs(machine, 1):
            assert machine.process.poll() is None and time.monotonic() < deadline, machine.console.tail()
            time.sleep(1)
        said = machine.console.text()
        assert machine.monitor.seen("WATCHDOG") is not None, said[-5000:]
        assert "this deployment failed its checks (deadline)" in said
        machine.execute("systemctl is-system-running --wait", BOOT)
        machine.power_off(BOOT)
    told = json.loads(rastos("snapshot", "status", "--json", *at))
    assert [(boot["deployment"], boot["outcome"], boot["failed"]) for boot in told["boots"]] == [
        (3, "unfinished", []),
        (2, "failed", ["deadline"]),
        (1, "good", []),
    ]
    assert {item["number"]: item["state"] for item in told["deployments"]} == {1: "good", 2: "bad", 3: "bad"}
    text = rastos("snapshot", "status", *at)
    assert "it hung, panicked, or lost power" in text and "snapshot 1 is bad: it failed in 1 boot (deadline)" in text
    assert json.loads(rastos("snapshot", "deploy", "--dry-run", "--json", *at))["snapshot"] == 0, "neither is chosen"
    bad = json.loads(rastos("snapshot", "pending", "--json", *at))["bad"]
    assert {mark["snapshot"] for mark in bad} == {1, 2}


def _runs(machine: Machine, number: int) -> bool:
    try:
        return machine.agent.ping() and f'"deployment": {number}' in machine.succeed(
            "cat /etc/rastos/deployment.json", 20
        )
    except ExternalError:
        return False  # on its way down
