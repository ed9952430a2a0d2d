"""Work that outlives the command that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

STARTER = """
import os, sys, time
from pathlib import Path
from rastos.host import detached
place = Path(sys.argv[1])
def work(ready):
    how = sys.argv[2]
    if how == "fails":
        raise RuntimeError("a defect")
    print("a line of its own", flush=True)
    ready(f"{os.getpid()} {os.getsid(0)}".encode())
    time.sleep(0.5)
    (place / "done").write_text("yes")
    return 0
print(detached(work, place / "log").decode())
"""


def start(place: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(place), how], capture_output=True, text=True, check=True, timeout=60
    )
    assert not done.stderr
    return done.stdout.strip()


def test_it_goes_on_when_the_starter_has_ended(tmp_path: Path) -> None:
    pid, session = (int(word) for word in start(tmp_path, "works").split())
    assert session not in (os.getsid(0), pid), (
        "in a session of its own, and not its leader: no terminal becomes its own"
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "done").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "done").read_text() == "yes"
    assert (tmp_path / "log").read_text() == "a line of its own\n"


def test_one_that_fails_says_nothing_and_leaves_its_words(tmp_path: Path) -> None:
    assert start(tmp_path, "fails") == ""
    deadline = time.monotonic() + 20
    while "a defect" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "RuntimeError: a defect" in (tmp_path / "log").read_text()


def test_it_holds_nothing_of_its_callers(tmp_path: Path) -> None:
    """A shell that waits for the end of a pipe it gave to the command must not wait for the machine."""
    reader, writer = os.pipe()
    argv = [sys.executable, "-c", STARTER, str(tmp_path), "works"]
    subprocess.run(argv, pass_fds=[writer], stdout=subprocess.DEVNULL, check=True, timeout=60)
    os.close(writer)
    assert os.read(reader, 1) == b"" and not (tmp_path / "done").exists(), "the end came while it was at work"
    os.close(reader)
