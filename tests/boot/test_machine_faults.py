"""Faults between us and a machine: a silent monitor, a crash during a command, a start that fails, an error of ours."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import MachineSpec
from rastos.installer.vm.machine import GuestCrashed, started
from tests.boot import test_machine as basics
from tests.conftest import need

initramfs = basics.initramfs  # a fixture: pytest finds it by its name here
UP = "init is up"
BOOT = 90.0  # the most a busy host may take to start a kernel and one program


def test_a_command_in_a_crashed_guest_names_the_crash(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with basics.guest(bzimage, initramfs, tmp_path, "panic") as machine:
        machine.wait_console(UP, BOOT)
        deadline = time.monotonic() + 20
        while not machine.monitor.seen("GUEST_PANICKED") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert machine.gone(), "the panic device did not report"
        machine.agent.path = tmp_path / "nobody"  # saves waiting for an agent that can't answer
        with pytest.raises(GuestCrashed, match="while waiting: a command ends: true") as caught:
            machine.succeed("true")
        assert "Kernel panic - not syncing" in caught.value.tail


def test_a_silent_monitor_has_a_deadline(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with basics.guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(ExternalError, match="did not answer in 1 s"):
                machine.monitor.execute("query-status", timeout=1.0)
        finally:
            machine.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - began < 5


def test_a_killed_qemu_is_no_clean_power_off(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with basics.guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console(UP, BOOT)
        with pytest.raises(ExternalError, match="did not power off in 1 s"):
            machine.power_off(1)
        machine.process.send_signal(signal.SIGKILL)
        with pytest.raises(ExternalError, match="status -9 instead of a power-off"):
            machine.power_off(20)


def test_an_error_of_ours_leaves_neither_qemu_nor_thread(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with basics.guest(bzimage, initramfs, tmp_path, "hang") as machine:
            raise ZeroDivisionError
    assert machine.process.poll() is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "qmp"]


def test_a_qemu_that_does_not_start_is_told_at_once(tmp_path: Path) -> None:
    need("qemu-system-x86_64")
    began = time.monotonic()
    with pytest.raises(ExternalError, match="QEMU did not start") as caught:
        with started(MachineSpec(runtime=tmp_path, accel="tcg", cpu="nosuchcpu")):
            pass
    assert "nosuchcpu" in caught.value.tail
    assert time.monotonic() - began < 5


def test_awkward_paths(tmp_path: Path) -> None:
    need("qemu-system-x86_64")
    runtime, sockets = tmp_path / f"with,comma-{'long' * 25}", tmp_path / "s"
    for folder in (runtime, sockets):
        folder.mkdir()
    spec = MachineSpec(runtime=runtime, accel="tcg", cpu="max", memory=128, sockets=sockets)
    with started(spec) as machine:
        assert machine.monitor.execute("query-status")["running"] is True
    assert spec.console_log.exists()
    assert replace(spec, sockets=None).monitor.parent == runtime
