"""Programs that talk with the person at the terminal: a menu, an editor."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host.run import _open


def converse(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    what: str = "",
    check: bool = True,
) -> int:
    """Run a program on our own terminal, to its end; its status. Ctrl-C is its own; the terminal is as before afterwards.

    `what` completes "could not …" in the error. Raises ExternalError where it ends badly (not without `check`), HostError
    where it is missing.
    """
    before = termios.tcgetattr(0) if os.isatty(0) else None
    # a handler and not SIG_IGN, which the program would inherit
    interrupt = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        # in our session: a program of another one gets neither Ctrl-C nor the terminal's new size
        process = _open(argv, stdin=0, stdout=1, stderr=2, cwd=cwd, env=env, session=False)
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    if status != 0 and check:
        name = Path(argv[0]).name
        raise ExternalError(
            f"could not {what}: {name} ended with status {status}" if what else f"{name} ended with status {status}",
            next_step="its words are above",
            argv=[str(word) for word in argv],
            status=status,
        )
    return status
