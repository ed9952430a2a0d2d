"""Running programs: errors with the tail, timeouts that leave nobody, death with the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError
from rastos.host import find_program, require_programs, run, spawn


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether a process ends (or is a zombie nobody reaps) within some seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def number_in(path: Path, within: float = 10.0) -> int:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"{path} never came")


def test_output_status_and_order() -> None:
    seen: list[str] = []
    done = run(["sh", "-c", "echo one; echo two; printf three"], on_line=seen.append)
    assert (done.status, done.stdout, seen) == (0, "one\ntwo\nthree", ["one", "two", "three"])


def test_standard_input_is_closed_unless_given() -> None:
    assert run(["cat"], timeout=5).stdout == ""
    big = "x" * 300_000
    assert run(["cat"], stdin=big, timeout=20).stdout == big


def test_a_reader_that_stops_early_is_no_failure_of_ours() -> None:
    assert run(["true"], stdin="x" * 300_000, timeout=10).status == 0


def test_failure_carries_command_status_and_last_words() -> None:
    with pytest.raises(ExternalError) as caught:
        run(["sh", "-c", "for i in $(seq 100); do echo line $i >&2; done; exit 7"], what="count")
    error = caught.value
    assert error.status == 7 and error.argv[0] == "sh"
    assert error.what.startswith("could not count") and "status 7" in error.what
    assert error.tail.endswith("line 100") and "line 1\n" not in error.tail


def test_killed_program_is_named_by_its_signal() -> None:
    with pytest.raises(ExternalError, match="SIGKILL"):
        run(["sh", "-c", "kill -KILL $$"])


def test_missing_program_says_how_to_get_it() -> None:
    with pytest.raises(HostError) as caught:
        run(["mkfs.rastos-unknown"])
    assert "mkfs.rastos-unknown" in str(caught.value) and caught.value.next_step
    with pytest.raises(HostError, match="nowhere-a, nowhere-b"):
        require_programs("sh", "nowhere-a", "nowhere-b")
    assert find_program("sh") is not None


def test_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(ExternalError, match="did not end within"):
        run(["sh", "-c", f"sleep 300 & echo $! > {note}; wait"], timeout=0.5)
    assert time.monotonic() - started < 10
    assert gone(number_in(note))


def test_timeout_beats_a_program_that_ignores_sigterm(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(ExternalError):
        run(["sh", "-c", f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done"], timeout=0.5)
    assert gone(number_in(note))


def test_an_exception_in_on_line_kills_the_group(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    note = tmp_path / "pid"
    with pytest.raises(RuntimeError):
        run(["sh", "-c", f"echo $$ > {note}; echo hello; sleep 300"], on_line=refuse)
    assert gone(number_in(note))


def test_a_daemon_holding_the_pipe_does_not_hold_us() -> None:
    started = time.monotonic()
    done = run(["sh", "-c", "setsid sleep 20 & echo started"], timeout=15)
    assert done.stdout == "started\n" and time.monotonic() - started < 10


def test_fixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_A_USER", "x")
    monkeypatch.setenv("LANG", "xx_XX")
    done = run(["env"], env={"EXTRA": "1"})
    assert "LD_PRELOAD_OF_A_USER" not in done.stdout and "LANG=C.UTF-8" in done.stdout and "EXTRA=1" in done.stdout


def test_log_gets_both_streams(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(["sh", "-c", "echo out; echo err >&2"], log=log)
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_spawn_ends_with_its_block(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with spawn(["sh", "-c", f"sleep 300 & echo $! > {note}; wait"]) as process:
        child = number_in(note)
    assert process.returncode is not None and gone(child)


def test_what_a_program_left_in_its_group_ends_with_the_block(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with spawn(["sh", "-c", f"sleep 300 & echo $! > {note}"]) as process:
        process.wait()
        child = number_in(note)
        assert not gone(child, within=0.2)
    assert gone(child)


def test_one_line_without_end_takes_little_time_and_memory(tmp_path: Path) -> None:
    endless = ["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x"]
    started = time.monotonic()
    assert len(run(endless, log=tmp_path / "log", timeout=60).stdout) < 60_000_000
    assert (tmp_path / "log").stat().st_size == 100_000_000
    (tmp_path / "log").unlink()
    assert len(run(endless, timeout=60).stdout) == 100_000_000
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("how", ["run", "spawn"])
def test_children_die_with_a_killed_parent(tmp_path: Path, how: str) -> None:
    note = tmp_path / "pid"
    call = f"['sh', '-c', 'echo $$ > {note}; exec sleep 300']"
    code = "from rastos.host import run, spawn\nimport time\n"
    code += f"run({call})" if how == "run" else f"with spawn({call}): time.sleep(300)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    child = number_in(note)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert gone(child)


def test_the_whole_family_of_a_guarded_program_dies_with_a_killed_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "from rastos.host import run\n"
        f"run(['sh', '-c', 'sh -c \"sleep 300 & echo \\$! > {note}; wait\" & wait'], guarded=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    grandchild = number_in(note)
    assert Path(f"/proc/{grandchild}").exists()
    parent.kill()
    parent.wait()
    assert gone(grandchild)


def test_nothing_outlives_a_guarded_program(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    done = run(["sh", "-c", f"sleep 300 & echo $! > {note}; echo hello"], guarded=True, timeout=20)
    assert done.stdout == "hello\n" and gone(number_in(note))


def test_a_guarded_program_that_waits_for_all_its_children_ends() -> None:
    code = "import os\ntry:\n    while True: os.wait()\nexcept ChildProcessError: print('none')"
    assert run([sys.executable, "-c", code], guarded=True, timeout=20).stdout == "none\n"
