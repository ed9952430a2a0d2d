"""Running programs: output, failure, deadline, and that nobody survives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError
from rastos.host import run, spawn


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _gone(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def test_output_and_lines() -> None:
    lines: list[str] = []
    done = run(["sh", "-c", "echo out; echo err >&2; printf last"], on_line=lines.append)
    assert (done.stdout, done.stderr, done.status) == ("out\nlast", "err\n", 0)
    assert sorted(lines) == ["err", "last", "out"]


def test_stdin_is_closed_unless_given() -> None:
    assert run(["cat"]).stdout == ""
    big = "x" * 1_000_000
    assert run(["cat"], stdin=big).stdout == big


def test_failure_carries_command_status_and_last_words() -> None:
    with pytest.raises(ExternalError) as caught:
        run(["sh", "-c", "echo the reason >&2; exit 3"], what="do the thing")
    assert caught.value.status == 3
    assert "could not do the thing" in caught.value.what
    assert "the reason" in caught.value.tail


def test_missing_program_says_how_to_get_it() -> None:
    with pytest.raises(HostError) as caught:
        run(["no-such-program-here"])
    assert "no-such-program-here" in caught.value.what
    assert "install" in caught.value.next_step


def test_environment_is_built_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "1")
    text = run(["env"], env={"GIVEN": "2"}).stdout
    assert "SECRET_OF_THE_PARENT" not in text
    assert "GIVEN=2" in text
    assert "LANG=C.UTF-8" in text


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(ExternalError) as caught:
        run(["sh", "-c", f"sleep 100 & echo $! > {note}; wait"], timeout=0.5)
    assert "did not end within 0.5 s" in caught.value.what
    assert _gone(int(note.read_text()))


def test_a_daemon_holding_the_pipe_does_not_hold_us() -> None:
    started = time.monotonic()
    done = run(["sh", "-c", "sleep 20 & echo done"])
    assert done.stdout == "done\n"
    assert time.monotonic() - started < 10
    os.system("pkill -f '^sleep 20$'")


def test_spawned_program_ends_with_its_block() -> None:
    with spawn(["sleep", "100"]) as process:
        assert _alive(process.pid)
    assert _gone(process.pid)


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"from rastos.host import run; run(['sh', '-c', 'echo $$ > {note}; exec sleep 100'])"
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(note.read_text())
    assert _alive(child)
    parent.kill()
    parent.wait()
    assert _gone(child)
