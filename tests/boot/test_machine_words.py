"""Endings, restarts, screens and hangs of a machine; with a kernel and a tiny init, so each takes seconds."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError, UserError
from rastos.installer.vm import Ending, Machine, MachineSpec, probe_accelerator
from rastos.installer.vm.hardware import Fitted
from rastos.installer.vm.machine import started
from tests.boot import test_machine as basics
from tests.boot.conftest import environment
from tests.conftest import need

initramfs = basics.initramfs  # a fixture: pytest finds it by its name here
BOOT = 90.0


@contextmanager
def guest(bzimage: Path, initramfs: Path, folder: Path, what: str, fitted: Fitted = Fitted()) -> Iterator[Machine]:  # noqa: B008
    accelerator = probe_accelerator(Path(environment()["RASTOS_CACHE"]))
    spec = MachineSpec(
        runtime=folder,
        accel=accelerator.option,
        cpu=accelerator.cpu,
        memory=256,
        cpus=1,
        kernel=bzimage,
        initrd=initramfs,
        cmdline=f"console=ttyS0 panic=0 no_timer_check do={what}",
        fitted=fitted,
    )
    with started(spec) as machine:
        yield machine


def test_endings_are_results(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "off") as machine:
        assert machine.wait_ending(BOOT) is Ending.POWER_OFF
    (tmp_path / "p").mkdir()
    with guest(bzimage, initramfs, tmp_path / "p", "panic") as machine:
        assert machine.ending is None
        assert machine.wait_ending(BOOT) is Ending.PANIC


def test_reset_quit_and_kill_are_told_apart(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console("init is up", BOOT)
        with pytest.raises(ExternalError, match="did not end within 0.2 s"):
            machine.wait_ending(0.2)
        machine.monitor.execute("system_reset")
        deadline = time.monotonic() + 10
        while not machine.monitor.seen("RESET") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert machine.monitor.seen("RESET") and machine.ending is None, "the machine itself goes on"
        machine.crash()
        assert machine.ending is Ending.QUIT
        machine.start()
        machine.wait_console("init is up", BOOT)
        assert machine.console.text().count("init is up") == 1, "only what this start said"
        with pytest.raises(UserError, match="still runs"):
            machine.start()
        machine.process.kill()
        assert machine.wait_ending(10) is Ending.KILLED


def test_a_hang_leaves_a_screenshot(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang", Fitted(screen=True, name="web")) as machine:
        machine.wait_console("init is up", BOOT)
        machine.evidence = tmp_path / "kept"
        with pytest.raises(ExternalError) as caught:
            machine.wait_console("never said", timeout=1)
        shot = tmp_path / "kept/web.png"
        assert f"screenshot: {shot}" in caught.value.next_step and "init is up" in caught.value.tail
        data = shot.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack("!II", data[16:24])) >= 200
        kept = machine.keep_evidence(tmp_path / "more")
        assert [path.name for path in kept] == ["console.log", "screenshot.png"], "no agent, so no journal"


def test_without_an_agent_the_power_button_is_pressed(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console("init is up", BOOT)
        with pytest.raises(ExternalError, match="did not power off in 1 s"):
            machine.power_off(1)
        assert machine.monitor.seen("POWERDOWN")
        with pytest.raises(UserError, match="no screen"):
            machine.screenshot(tmp_path / "x.png")


def test_a_tpm_is_there_again_after_a_restart(tmp_path: Path) -> None:
    need("qemu-system-x86_64", "swtpm")
    spec = MachineSpec(runtime=tmp_path, accel="tcg", cpu="max", memory=128, fitted=Fitted(tpm=tmp_path / "tpm.ctrl"))
    with started(replace(spec, stopped=True)) as machine:
        (model,) = machine.monitor.execute("query-tpm")
        assert model["model"] == "tpm-tis"
        machine.crash()
        machine.start()
        assert machine.monitor.execute("query-tpm")
    assert (tmp_path / "tpm").is_dir() and not (tmp_path / "tpm.ctrl").exists()
