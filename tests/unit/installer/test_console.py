"""What is made of a serial console's log."""

from __future__ import annotations

import io
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from rastos.installer.vm.console import Console, pass_through


def console(tmp_path: Path, text: str | bytes) -> Console:
    log = tmp_path / "console.log"
    log.write_bytes(text.encode() if isinstance(text, str) else text)
    return Console(log)


def test_no_log_yet_is_silence(tmp_path: Path) -> None:
    silent = Console(tmp_path / "none")
    assert (silent.text(), silent.tail(), silent.crash()) == ("", "", "")


def test_control_sequences_and_bad_bytes_are_taken_out(tmp_path: Path) -> None:
    said = console(tmp_path, b"\x1b[2J\x1b[01;32m[  OK  ]\x1b[0m Started\r\n\x1b]0;title\x07login: \xff")
    assert said.text() == "[  OK  ] Started\nlogin: \ufffd"


def test_the_tail_leaves_empty_lines_out(tmp_path: Path) -> None:
    assert console(tmp_path, "one\n\n\ntwo\n \nthree\n\n").tail(2) == "two\nthree"


@pytest.mark.parametrize(
    "line",
    [
        "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        "[    0.9] BUG: unable to handle page fault for address: ffffffff",
        "[    0.9] BUG: kernel NULL pointer dereference, address: 0000",
        "[    0.9] Oops: general protection fault, probably for non-canonical address: 0000 [#1]",
        "[    0.9] general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
        "rastos-init: cannot mount /etc: No such file or directory",
        "You are in emergency mode. After logging in, type",
    ],
)
def test_last_words_are_a_crash(tmp_path: Path, line: str) -> None:
    found = console(tmp_path, f"[    0.0] Linux version\n{line}\nCall Trace:\n").crash()
    assert found.splitlines() == [line, "Call Trace:"]


@pytest.mark.parametrize(
    "line",
    [
        "[   30.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [systemd:1]",
        "[   30.1] BUG: workqueue lockup - pool cpus=0 stuck for 31s!",
        "[    9.1] traps: htop[321] general protection fault ip:7f01 sp:7ffc error:0 in libc.so.6",
        "[    2.0] Debug: nothing",
    ],
)
def test_a_slow_host_or_a_broken_program_is_not_a_crash(tmp_path: Path, line: str) -> None:
    assert console(tmp_path, f"booting\n{line}\nlogin:\n").crash() == ""


def test_a_person_sees_the_console_until_the_machine_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "console"
    shown = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", shown)
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX) as server, os.fdopen(reader) as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        server.bind(str(path))
        server.listen()

        def say() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(b"login: ")

        speaker = threading.Thread(target=say)
        speaker.start()
        pass_through(path, lambda: True)  # ends by the end of the connection
        speaker.join()
    os.close(writer)
    shown.flush()
    assert shown.buffer.getvalue() == b"login: "  # type: ignore[attr-defined]
