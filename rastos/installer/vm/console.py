"""The serial console: kept as a log, searched, watched for the kernel's last words, and shown to a person."""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>c]|\][^\x07]*\x07)")
# lockups are left out: on a busy host an emulated guest reports one and goes on. "traps:" lines are programs, not the kernel
CRASH = re.compile(
    r"Kernel panic - not syncing|rastos-init: cannot|BUG: (?!soft lockup|workqueue lockup)|Oops: "
    r"|You are in emergency mode|^(?!.*traps: ).*general protection fault",
    re.MULTILINE,
)
LEAVE = b"\x1d"  # Ctrl-]


class Console:
    """Reads the log QEMU writes; `skipped` bytes of it belong to an earlier start."""

    def __init__(self, log: Path, skipped: int = 0) -> None:
        self.log = log
        self.skipped = skipped

    def text(self) -> str:
        """Everything said so far, without control sequences."""
        raw = self.log.read_bytes()[self.skipped :].decode("utf-8", "replace") if self.log.exists() else ""
        return ESCAPE.sub("", raw).replace("\r", "")

    def tail(self, lines: int = 15) -> str:
        """The last lines that say something."""
        return "\n".join([line for line in self.text().splitlines() if line.strip()][-lines:])

    def crash(self) -> str:
        """The line in which the guest's kernel (or init) gave up, and those after it; "" while it runs."""
        text = self.text()
        found = CRASH.search(text)
        if not found:
            return ""
        start = text.rfind("\n", 0, found.start()) + 1
        return "\n".join(text[start:].splitlines()[:20])


def pass_through(path: Path, alive: Callable[[], bool]) -> None:
    """Connect a person's terminal to the console until Ctrl-] or the machine's end."""
    raw = sys.stdin.isatty()
    before = termios.tcgetattr(sys.stdin.fileno()) if raw else None
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        inputs: list[Any] = [line, sys.stdin] if raw else [line]
        try:
            if raw:
                tty.setraw(sys.stdin.fileno())
            while alive():
                ready, _, _ = select.select(inputs, [], [], 0.5)
                if line in ready:
                    data = line.recv(4096)
                    if not data:
                        return
                    sys.stdout.buffer.write(data)
                    sys.stdout.flush()
                if sys.stdin in ready:
                    typed = os.read(sys.stdin.fileno(), 256)
                    if LEAVE in typed:
                        return
                    line.sendall(typed)
        finally:
            if before is not None:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
