"""A machine that manages itself: from inside the booted guest, by the same commands as on an image file.

RASTOS_TRANSCRIPT=FILE writes down what was typed there, and what it said.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import Machine, booted
from rastos.package import PackageMetadata, write_package
from tests.boot.conftest import Rastos, environment

PROFILE = """
description = "manages itself"
sets = ["base"]
kernel = "ci"
hostname = "self"
size = "3G"
esp = "64M"
rastos = true
"""
# the only channel of this machine: what is built on it
MANIFEST = '[channels.rastos-local]\nkind = "local"\nserver = "/var/lib/rastos/repository"\n'
CHECK = "#!/bin/sh\n! test -e /usr/lib/broken\n"
BOOT = 900.0
COMMAND = 600.0
TRANSCRIPT: list[str] = []


@pytest.fixture(scope="module")
def image(rastos: Rastos, ci_kernel: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("self")
    (place / "self.toml").write_text(PROFILE)
    rastos("image", "create", "--profile", place / "self.toml", "--output", place / "self.qcow2")
    return place / "self.qcow2"


@pytest.fixture(scope="module")
def greeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with one program."""
    place = tmp_path_factory.mktemp("greeting")
    (place / "tree/usr/bin").mkdir(parents=True)
    (place / "tree/usr/bin/greeting").write_text("#!/bin/sh\necho hello from inside\n")
    (place / "tree/usr/bin/greeting").chmod(0o755)
    return write_package(PackageMetadata("greeting", "1-1", arch="any"), place / "tree", place)


@pytest.fixture(scope="module")
def machine(image: Path) -> Iterator[Machine]:
    cache = Path(environment()["RASTOS_CACHE"])
    with booted(image, cache=cache, way="uefi", persist=True) as found:
        found.wait_agent(BOOT)
        found.succeed("systemctl is-system-running --wait", BOOT)
        yield found
        found.power_off(BOOT)
    if os.environ.get("RASTOS_TRANSCRIPT"):
        Path(os.environ["RASTOS_TRANSCRIPT"]).write_text("\n".join(TRANSCRIPT) + "\n")


def _type(machine: Machine, command: str) -> str:
    """Run a command as a person would; both streams, which go into the transcript."""
    answer = machine.execute(command, COMMAND)
    TRANSCRIPT.extend([f"self# {command}", *answer.text.splitlines(), ""])
    assert answer.status == 0, answer.text
    return answer.text


def _reboot(machine: Machine) -> None:
    TRANSCRIPT.extend(["self# systemctl reboot", ""])
    machine.reboot(BOOT)


def _put(machine: Machine, source: bytes, path: str) -> None:
    machine.succeed(f"mkdir -p {Path(path).parent}")
    machine.put(path, source)


def _json(machine: Machine, command: str) -> Any:
    answer = machine.execute(f"rastos {command} --json", COMMAND)
    assert answer.status == 0, answer.text
    return json.loads(answer.stdout)


def _until(look: Callable[[], bool], timeout: float = BOOT) -> None:
    deadline = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.5)


def _deployment(machine: Machine) -> int:
    return int(json.loads(machine.succeed("cat /etc/rastos/deployment.json"))["deployment"])


def test_it_sees_its_own_tree_and_says_how_it_came_up(machine: Machine) -> None:
    tree = _json(machine, "snapshot tree")
    assert tree[0]["id"] == 0
    assert {"booted", "next"} <= set(tree[0]["marks"])
    status = _json(machine, "snapshot status")
    assert (status["booted"], status["next"], status["verdict"]) == (1, 1, None)
    assert status["boots"][-1]["outcome"] == "good"
    assert status["deployments"][-1]["state"] == "good"
    assert "last good" in _type(machine, "rastos snapshot tree")
    assert "/run/rastos" not in machine.succeed("cat /proc/mounts"), "its mounts are its own, and gone"


def test_install_deploy_reboot(machine: Machine, greeting: Path) -> None:
    _put(machine, MANIFEST.encode(), "/etc/rastos/system/packages.toml")
    _put(machine, CHECK.encode(), "/etc/rastos/health.d/not-broken")
    machine.succeed("chmod 755 /etc/rastos/health.d/not-broken")
    _put(machine, greeting.read_bytes(), f"/root/{greeting.name}")
    _type(machine, f"rastos package repo add /root/{greeting.name}")
    machine.fails("command -v greeting")
    _type(machine, "rastos snapshot install latest greeting")
    assert _json(machine, "snapshot show latest")["delta"]["added"] == ["greeting"]
    machine.fails("command -v greeting")
    _type(machine, "rastos snapshot deploy latest")
    _reboot(machine)
    assert _type(machine, "greeting").strip() == "hello from inside"
    assert _deployment(machine) == 2
    machine.succeed("systemctl is-system-running --wait", BOOT)
    _until(lambda: _json(machine, "snapshot status")["deployments"][-1]["state"] == "good", 60)


def test_a_broken_update_is_left_without_help(machine: Machine) -> None:
    _type(machine, "rastos snapshot run latest -d broken -- touch /usr/lib/broken")
    _type(machine, "rastos snapshot deploy latest --tries 1")
    before = machine.succeed("cat /proc/sys/kernel/random/boot_id")
    TRANSCRIPT.append("self# systemctl reboot")
    try:
        machine.agent.request("guest-shutdown", timeout=3.0, mode="reboot")
    except ExternalError:
        pass  # it answers only when it fails
    machine.agent.close()
    # into deployment 3, whose check fails: it restarts by itself
    machine.wait_console("this deployment failed its checks (check:not-broken)", 2 * BOOT)
    TRANSCRIPT.extend([*re.findall(r"rastos: this deployment failed.*", machine.console.text()), ""])

    def back() -> bool:
        try:
            answer = machine.agent.ping() and machine.execute("cat /etc/rastos/deployment.json")
        except ExternalError:
            return False  # on its way down
        return bool(answer) and json.loads(answer.stdout or "{}").get("deployment") == 2

    _until(back, 2 * BOOT)
    assert machine.succeed("cat /proc/sys/kernel/random/boot_id") != before
    machine.succeed("systemctl is-system-running --wait", BOOT)
    _until(lambda: _json(machine, "snapshot status")["boots"][-1]["outcome"] == "good", 60)
    status = _json(machine, "snapshot status")
    assert status["booted"] == 2
    assert {item["number"]: item["state"] for item in status["deployments"]}[3] == "bad"
    assert status["verdict"]["cause"] == "snapshot"
    assert (status["verdict"]["snapshot"], status["verdict"]["failed"]) == (2, ["check:not-broken"])
    assert "snapshot 2 is bad" in _type(machine, "rastos snapshot status")


def test_rollback_from_inside(machine: Machine) -> None:
    _type(machine, "rastos snapshot rollback")
    _reboot(machine)
    machine.fails("command -v greeting")
    assert json.loads(machine.succeed("cat /etc/rastos/deployment.json"))["snapshot"] == 0
    _type(machine, "rastos snapshot tree")
