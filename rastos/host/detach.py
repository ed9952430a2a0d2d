"""Work that goes on after the command that started it has ended: in a process of its own, in its own session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

LONGEST = 1 << 20  # bytes of what it says when it is ready


def detached(work: Callable[[Callable[[bytes], None]], int], log: Path) -> bytes:
    """Run `work(ready)` in a process that is nobody's child; what it gave to `ready`, or b"" when it ended before that.

    Its standard streams are the log's; `work` returns its exit status. To be called while the process has one thread.
    """
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        _begin(work, log, reader, writer)
    os.close(writer)
    os.waitpid(between, 0)
    said = bytearray()
    try:
        while len(said) < LONGEST and (piece := os.read(reader, 65536)):
            said += piece
    finally:
        os.close(reader)
    return bytes(said)


def _begin(work: Callable[[Callable[[bytes], None]], int], log: Path, reader: int, writer: int) -> NoReturn:
    """The new process: leave the session, the streams and the parent, then work."""
    status = 1
    try:
        os.close(reader)
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log.parent.mkdir(parents=True, exist_ok=True)
        nothing = os.open(os.devnull, os.O_RDONLY)
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, source in ((0, nothing), (1, words), (2, words)):
            os.dup2(source, number)
        # what the caller had open is not ours to hold: somebody may wait for its end
        for number in (int(name) for name in os.listdir("/proc/self/fd")):
            if number > 2 and number != writer:
                _let_go(number)

        def ready(message: bytes) -> None:
            nonlocal writer
            if writer >= 0:
                os.write(writer, message)
                os.close(writer)
                writer = -1

        status = work(ready)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _let_go(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass  # the folder that was listed
