"""Locks between processes and after SIGKILL; a journal whose last line was torn."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import BusyError, HostError, UserError
from rastos.host import Journal, faults, locked

HOLDER = (
    "import sys, time\nfrom pathlib import Path\nfrom rastos.host import locked\n"
    "with locked(Path(sys.argv[1]), 'a long job'):\n print('held', flush=True)\n time.sleep(300)"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_holder_is_named(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(BusyError) as caught, locked(tmp_path / "lock", "me"):
        pass
    assert str(holder.pid) in caught.value.holder and "a long job" in caught.value.holder


def test_sigkill_frees_the_lock(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    with locked(tmp_path / "lock", "me", wait=5):
        pass


def test_a_killed_holder_is_not_named_for_the_one_who_has_it_now(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "list it", shared=True, wait=5):
        with pytest.raises(BusyError) as caught, locked(tmp_path / "lock", "write"):
            pass
    assert f"process {os.getpid()} (list it" in caught.value.holder
    (tmp_path / "lock").write_text('{"pid": 4194999, "purpose": "old", "since": "then"}')
    with open(tmp_path / "lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError) as caught, locked(tmp_path / "lock", "write"):
            pass
    assert caught.value.holder == "another process"


def test_programs_do_not_inherit_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "me"):
        process = subprocess.Popen(["sleep", "300"], close_fds=False)
    try:
        with locked(tmp_path / "lock", "next"):
            pass
    finally:
        process.kill()
        process.wait()


def test_shared_locks_share_and_keep_writers_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "read", shared=True), locked(path, "read", shared=True):
        with pytest.raises(BusyError), locked(path, "write"):
            pass
    with locked(path, "write"), pytest.raises(BusyError), locked(path, "read", shared=True):
        pass


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "lock", "x"):
        raise RuntimeError
    with locked(tmp_path / "lock", "y"):
        pass


def test_steps_are_read_back(tmp_path: Path) -> None:
    intent = Journal(tmp_path / "j").begin("deploy", snapshot=3)
    intent.record("etc", path="a")
    intent.record("entry")
    (found,) = Journal(tmp_path / "j").open_intents()
    assert (found.operation, found.detail, found.steps) == ("deploy", {"snapshot": 3}, ["etc", "entry"])
    assert found.records[0][1] == {"path": "a"}
    found.close()
    assert not Journal(tmp_path / "j").open_intents()


@pytest.mark.parametrize("cut", range(1, 24, 4))
def test_a_torn_last_line_never_happened(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    intent = journal.begin("deploy")
    intent.record("first")
    intent.record("second", n=1)
    data = intent.path.read_bytes()
    intent.path.write_bytes(data[:-cut])
    (found,) = journal.open_intents()
    assert found.steps == ["first"]
    found.record("third")  # recovery goes on writing into the same file
    (again,) = journal.open_intents()
    assert again.steps == ["first", "third"]


def test_a_torn_first_line_was_never_begun(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    path = journal.begin("deploy").path
    path.write_bytes(path.read_bytes()[:-3])
    assert journal.open_intents() == [] and not path.exists()


def test_numbers_grow_and_order_holds(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for name in "abc":
        journal.begin(name)
    assert [intent.operation for intent in journal.open_intents()] == ["a", "b", "c"]


def test_lock_waits_as_long_as_asked(tmp_path: Path) -> None:
    started = time.monotonic()
    with locked(tmp_path / "lock", "first"), pytest.raises(BusyError), locked(tmp_path / "lock", "second", wait=0.3):
        pass
    assert time.monotonic() - started >= 0.3


def test_faults_fire_where_armed() -> None:
    faults.arm("here=error,there=enospc")
    try:
        faults.reached("elsewhere")
        with pytest.raises(HostError):
            faults.reached("here")
        with pytest.raises(OSError, match="No space"):
            faults.reached("there")
    finally:
        faults.disarm()
    faults.reached("here")
    with pytest.raises(UserError):
        faults.arm("here=explode")
