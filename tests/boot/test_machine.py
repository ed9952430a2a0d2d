"""Machines end, whatever the guest, QEMU or we ourselves do: each fault is made to happen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import Machine, MachineSpec, probe_accelerator
from rastos.installer.vm.machine import GuestCrashed, started
from tests.conftest import ROOT

UP = "init: up"
BOOT = 90.0  # the most a busy host may take to start a kernel and one program

Start = Callable[[str], AbstractContextManager[Machine]]


@pytest.fixture
def spec(tmp_path: Path, kernel: Path, initramfs: Path, tmp_path_factory: pytest.TempPathFactory) -> MachineSpec:
    found = probe_accelerator(tmp_path_factory.getbasetemp() / "cache")
    return MachineSpec(
        runtime=tmp_path, accel=found.option, cpu=found.cpu, memory=256, cpus=1, kernel=kernel, initrd=initramfs
    )


@pytest.fixture
def start(spec: MachineSpec) -> Start:
    from dataclasses import replace

    @contextmanager
    def machine(act: str) -> Iterator[Machine]:
        with started(replace(spec, cmdline=f"console=ttyS0 panic=0 act={act}")) as machine:
            yield machine
        assert machine.process.poll() is not None, "QEMU outlived its block"

    return machine


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_panic_is_a_result_with_the_kernels_words(start: Start) -> None:
    with start("die") as machine:
        began = time.monotonic()
        with pytest.raises(GuestCrashed) as caught:
            machine.wait_console("never said", BOOT)
        assert time.monotonic() - began < BOOT
        assert "Kernel panic - not syncing: Attempted to kill init!" in caught.value.detail
        machine._wait("the panic device reports", 10, lambda: machine.monitor.seen("GUEST_PANICKED") is not None)
        assert machine.gone()


def test_a_command_in_a_crashed_guest_names_the_crash(start: Start) -> None:
    with start("die") as machine:
        with pytest.raises(GuestCrashed, match="a command ends: true"):
            machine.wait_console(UP, BOOT)
            machine.agent.path = machine.spec.runtime / "nobody"
            time.sleep(3)
            machine.succeed("true")


def test_a_hang_ends_by_its_deadline_and_says_what_was_seen_last(start: Start) -> None:
    with start("hang") as machine:
        machine.wait_console(UP, BOOT)
        began = time.monotonic()
        with pytest.raises(ExternalError) as caught:
            machine.wait_agent(2.0)
        assert 2.0 <= time.monotonic() - began < 8
        assert UP in caught.value.next_step
        assert not isinstance(caught.value, GuestCrashed)
        with pytest.raises(ExternalError, match="did not power off in 1 s"):
            machine.power_off(1.0)


def test_a_wait_ends_at_once_when_qemu_is_killed(start: Start) -> None:
    with start("hang") as machine:
        machine.wait_console(UP, BOOT)
        killed: list[float] = []

        def kill() -> None:
            killed.append(time.monotonic())
            machine.process.send_signal(signal.SIGKILL)

        timer = threading.Timer(1.0, kill)
        timer.start()
        with pytest.raises(ExternalError, match=r"QEMU ended \(status -9\) while waiting"):
            machine.wait_agent(60)
        assert time.monotonic() - killed[0] < 3
        timer.join()
        with pytest.raises(ExternalError, match="status -9 instead of a power-off"):
            machine.power_off(5)


def test_a_silent_monitor_has_a_deadline(start: Start) -> None:
    with start("hang") as machine:
        machine.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(ExternalError, match="did not answer in 1 s"):
                machine.monitor.execute("query-status", timeout=1.0)
        finally:
            machine.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - began < 5


def test_a_power_off_is_clean(start: Start) -> None:
    with start("off") as machine:
        machine.process.wait(BOOT)
        machine.power_off(1)  # it has ended already, by itself and well
        assert machine.process.returncode == 0
        assert machine.monitor.seen("SHUTDOWN")


def test_a_reset_is_recorded(start: Start) -> None:
    with start("reboot") as machine:
        machine._wait("it starts again", BOOT, lambda: machine.console.text().count(UP) >= 2, machine.console.tail)
        event = machine.monitor.seen("RESET")
        assert event is not None and event[1]["guest"] is True


def test_the_plug_can_be_pulled(start: Start) -> None:
    with start("hang") as machine:
        machine.wait_console(UP, BOOT)
        machine.crash()
        assert machine.process.poll() is not None


def test_an_exception_in_the_block_leaves_no_qemu(start: Start) -> None:
    with pytest.raises(ZeroDivisionError):
        with start("hang") as machine:
            raise ZeroDivisionError
    assert not _alive(machine.process.pid)
    assert not [thread for thread in threading.enumerate() if thread.name == "qmp"]


def test_a_qemu_that_does_not_start_is_told_at_once(spec: MachineSpec) -> None:
    from dataclasses import replace

    began = time.monotonic()
    with pytest.raises(ExternalError, match="QEMU did not start") as caught:
        with started(replace(spec, cpu="nosuchcpu")):
            pass
    assert "nosuchcpu" in caught.value.detail
    assert time.monotonic() - began < 5


def test_our_own_death_leaves_no_qemu(spec: MachineSpec) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from rastos.installer.vm import MachineSpec\n"
        "from rastos.installer.vm.machine import started\n"
        "runtime, accel, cpu, kernel, initrd = sys.argv[1:]\n"
        "spec = MachineSpec(runtime=Path(runtime), accel=accel, cpu=cpu, memory=256, cpus=1,\n"
        "                   kernel=Path(kernel), initrd=Path(initrd), cmdline='console=ttyS0')\n"
        "with started(spec) as machine:\n"
        "    print(machine.process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    words = [str(word) for word in (spec.runtime, spec.accel, spec.cpu, spec.kernel, spec.initrd)]
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 5
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(pid)
