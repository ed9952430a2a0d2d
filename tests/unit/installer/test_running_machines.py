"""The list of machines that run, with processes in place of QEMU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import BusyError, ExternalError, UserError
from rastos.installer.vm import MachineSpec, named, registered, running_machine, running_machines
from rastos.installer.vm.hardware import Fitted, Forward
from rastos.installer.vm.running import _Elsewhere
from tests.conftest import ROOT


class Fake:
    """As much of a machine as a record needs."""

    def __init__(self, runtime: Path, name: str) -> None:
        fitted = Fitted(name=name, screen=True, forwards=(Forward(8080, 80),))
        self.spec = MachineSpec(runtime=runtime, accel="tcg", cpu="max", ssh_port=2222, fitted=fitted)
        self.process: Any = type("Process", (), {"pid": os.getpid()})


def test_a_machine_is_listed_as_long_as_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "vm"
    with named(folder, "web", exact=True) as name:
        machine: Any = Fake(tmp_path / ".vm.1.x.work", name)
        with registered(folder, machine, Path("web.qcow2"), way="uefi", network="lan") as record:
            assert running_machines(folder) == (record,)
            assert running_machine(folder, "web") == running_machine(folder, None) == record
            assert record.forwards == (("tcp", 8080, 80),) and record.address.startswith("10.77.")
            with pytest.raises(UserError) as caught:
                running_machine(folder, "wbe")
            assert "did you mean 'web'" in caught.value.next_step
        assert not running_machines(folder)
    with pytest.raises(UserError, match="no machine runs"):
        running_machine(folder, None)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    with named(tmp_path, "web", exact=True):
        with pytest.raises(BusyError) as caught, named(tmp_path, "web", exact=True):
            pass
        assert "machine web" in caught.value.holder
        with named(tmp_path, "web", exact=False) as other:
            assert other == "web-2"
    with pytest.raises(UserError, match="no name for a machine"), named(tmp_path, "../web", exact=True):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from rastos.installer.vm import named, registered
from tests.unit.installer.test_running_machines import Fake
folder, runtime = Path(sys.argv[1]), Path(sys.argv[2])
with named(folder, "web", exact=True) as name, registered(folder, Fake(runtime, name), Path("x"), way="uefi"):
    print("up", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_supervisor_left_is_cleared_away(tmp_path: Path) -> None:
    folder, runtime = tmp_path / "vm", tmp_path / ".vm.1.x.work"
    runtime.mkdir()
    argv = [sys.executable, "-c", HOLDER, str(folder), str(runtime)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "up\n"
        assert [item.name for item in running_machines(folder)] == ["web"] and runtime.exists()
        holder.kill()
    assert running_machines(folder) == ()
    assert not runtime.exists() and not (folder / "web").exists()


def test_a_damaged_record_of_a_dead_machine_goes_too(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/machine.json").write_text('{"name": 7')
    assert running_machines(tmp_path) == () and not (tmp_path / "web").exists()


def test_the_end_of_another_process_is_seen() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        seen = _Elsewhere(child.pid)
        assert seen.poll() is None
        with pytest.raises(ExternalError, match="did not end within 0.1 s"):
            seen.wait(0.1)
        child.send_signal(signal.SIGKILL)
        began = time.monotonic()
        assert seen.wait(10) == 0 and seen.poll() == 0 and time.monotonic() - began < 5
        seen.close()
