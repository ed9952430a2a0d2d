"""`rastos image boot --detach` and `rastos image vm`, as a user runs them, and the words of Machine on the same boot."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import connected, running_machine
from rastos.installer.vm.fitting import free_port
from tests.boot.conftest import Rastos, environment

BOOT = "400"


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A list of machines of our own; none of it is left running."""
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("RASTOS_STATE", str(place))
    yield place / "vm"
    for path in place.glob("vm/*/machine.json"):
        os.kill(json.loads(path.read_text())["supervisor"], signal.SIGKILL)


def gone(pid: int, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def listed(rastos: Rastos) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rastos("image", "vm", "list", "--json"))
    return found


def test_a_machine_in_the_background(rastos: Rastos, ci_image: Path, state: Path, tmp_path: Path) -> None:
    port = free_port()
    words = ("--direct", "--memory", "512", "--disk", "1G", "--forward", f"{port}:22", "--name", "web")
    assert rastos("image", "boot", "--detach", *words, "--image", ci_image) == "web\n"
    (record,) = listed(rastos)
    assert (record["name"], record["state"], record["forwards"]) == ("web", "running", [["tcp", port, 22]])
    said = rastos("image", "boot", "--detach", "--name", "web", "--image", ci_image, status=1)
    assert "a machine of this name runs" in said and str(record["supervisor"]) in said
    said = rastos("image", "boot", "--detach", "--forward", f"{port}:80", "--image", ci_image, status=1)
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert "did you mean 'web'" in rastos("image", "vm", "qmp", "wbe", "query-status", status=1)
    assert json.loads(rastos("image", "vm", "qmp", "web", "query-status"))["running"] is True
    shot = tmp_path / "web.png"
    rastos("image", "vm", "screenshot", "--output", shot)
    assert shot.read_bytes()[:4] == b"\x89PNG"

    assert rastos("image", "vm", "exec", "web", "--timeout", BOOT, "--", "id", "-un") == "root\n"
    rastos("image", "vm", "exec", "web", "--", "exit 7", status=7)
    assert "1G" in rastos("image", "vm", "exec", "web", "--", "lsblk -dno SIZE /dev/vdb")
    _words(state, tmp_path)
    with socket.create_connection(("127.0.0.1", port), 60) as line:
        line.settimeout(60)
        assert line.recv(4) == b"SSH-"
    assert "login" in rastos("image", "vm", "console", "web", "--log")

    assert "web: powered off" in rastos("image", "vm", "stop", "--timeout", "120")
    assert listed(rastos) == [] and gone(record["pid"]) and gone(record["supervisor"])
    assert not Path(record["runtime"]).exists()
    assert "Power down" in (Path(environment()["RASTOS_CACHE"]) / "vm/web.log").read_text(errors="replace")


def _words(state: Path, tmp_path: Path) -> None:
    """What a test says to a machine."""
    (tmp_path / "in/below").mkdir(parents=True)
    (tmp_path / "in/below/data").write_bytes(bytes(range(256)) * 400)
    (tmp_path / "in/run.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "in/run.sh").chmod(0o755)
    with connected(running_machine(state, "web")) as machine:
        machine.wait_for_unit("systemd-networkd.service", 120)
        machine.wait_for_port(22, 120)
        assert not machine.listens(9)
        machine.copy_to(tmp_path / "in", "/var/tmp/in")
        assert machine.succeed("/bin/sh /var/tmp/in/run.sh && test -x /var/tmp/in/run.sh").strip() == "ran"
        machine.copy_from("/var/tmp/in/below/data", tmp_path / "out/data")
        assert (tmp_path / "out/data").read_bytes() == (tmp_path / "in/below/data").read_bytes()
        machine.wait_for_file("/var/tmp/in/run.sh", 20)
        machine.execute("(sleep 2; touch /run/late) >/dev/null 2>&1 &")
        machine.wait_until_succeeds("test -e /run/late", 60)
        assert "No such file" in machine.fail("cat /run/never")
        with pytest.raises(ExternalError, match="/run/never is there: not within 1 s"):
            machine.wait_for_file("/run/never", 1)
        machine.succeed("systemd-run --quiet --unit broken false; true")
        with pytest.raises(ExternalError, match="broken.service failed"):
            machine.wait_for_unit("broken.service", 60)
        assert "broken.service" in machine.journal() and "guest-exec" not in machine.journal("qemu-guest-agent")


def test_nothing_outlives_a_killed_supervisor(
    rastos: Rastos, ci_image: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    words = ("--direct", "--memory", "512", "--network", "lan", "--graphics")
    rastos("image", "boot", "--detach", *words, "--image", ci_image)
    (record,) = listed(rastos)
    with socket.create_connection(("127.0.0.1", 5900 + record["vnc"]), 20) as line:
        assert line.recv(4) == b"RFB ", "its screen, by VNC (RFC 6143)"
    assert record["name"] == "ci" and record["network"] == "lan" and record["address"].startswith("10.77.")
    os.kill(record["supervisor"], signal.SIGKILL)
    assert gone(record["supervisor"]) and gone(record["pid"]), "QEMU dies with it"
    assert listed(rastos) == []
    assert not Path(record["runtime"]).exists() and not (state / "ci").exists()


def test_one_that_does_not_power_off_is_ended_by_force(rastos: Rastos, ci_image: Path, state: Path) -> None:
    rastos("image", "boot", "--detach", "--direct", "--memory", "512", "--image", ci_image)
    (record,) = listed(rastos)
    assert "ci: was ended hard" in rastos("image", "vm", "stop", "ci", "--force", "--timeout", "0.5")
    assert gone(record["pid"]) and gone(record["supervisor"]) and listed(rastos) == []


def test_what_cannot_be_is_told(rastos: Rastos, ci_image: Path, state: Path, tmp_path: Path) -> None:
    boot = ("image", "boot", "--image", ci_image)
    assert "no such folder to share" in rastos(*boot, "--share", tmp_path / "none", status=1)
    assert "no such disk" in rastos(*boot, "--disk", tmp_path / "none.raw", status=1)
    assert "no name for a machine" in rastos(*boot, "--name", "a b", status=1)
    assert "no such image" in rastos("image", "boot", "--detach", "--image", tmp_path / "none", status=1)
    assert "no machine runs" in rastos("image", "vm", "stop", status=1)


@pytest.mark.long
def test_a_folder_is_shared(rastos: Rastos, ci_kernel: dict[str, Any], state: Path, tmp_path: Path) -> None:
    """The container profile's kernel has 9p, the ci profile's hasn't."""
    image = tmp_path / "container.qcow2"
    rastos("kernel", "build", "--profile", "container")
    rastos("image", "create", "--profile", "ci", "--kernel", "container", "--output", image)
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "host").write_text("from the host\n")
    script = "cat /run/share/read/host; touch /run/share/read/x; cp /run/share/read/host /run/share/w/guest"
    words = ("--direct", "--memory", "512", "--timeout", BOOT, "--share", tmp_path / "read")
    said = rastos("image", "boot", *words, "--share", f"{tmp_path}/write:w:rw", "--image", image, "--", script)
    assert said == "from the host\n"
    assert (tmp_path / "write/guest").read_text() == "from the host\n"
    assert not (tmp_path / "read/x").exists()
