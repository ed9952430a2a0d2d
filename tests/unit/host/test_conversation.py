"""A program on our terminal: Ctrl-C is its own, the terminal is as before, a bad end is told."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError
from rastos.host import converse
from tests.conftest import ROOT

TALK = """\
import sys
from rastos.errors import ExternalError
from rastos.host import converse
menu = "trap 'echo heard' INT; stty -echo; echo ready; sleep 20 & wait; kill $!; echo over; exit 3"
try:
    converse(["sh", "-c", menu], what="talk")
except ExternalError as error:
    print("told:", error)
"""


def test_ctrl_c_is_the_programs_own() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", TALK])
    text, pressed = b"", False
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break
        text += block
        if b"ready" in text and not pressed:
            pressed = True
            os.write(terminal, b"\x03")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"heard" in text and b"over" in text and b"told: could not talk: sh ended with status 3" in text


def test_a_bad_end_and_a_missing_program(tmp_path: Path) -> None:
    converse(["true"])
    with pytest.raises(ExternalError, match="false ended with status 1"):
        converse(["false"])
    with pytest.raises(HostError):
        converse(["no-such-program"])
