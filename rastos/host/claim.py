"""Having a file that is not finished yet to ourselves, also among processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claimed(part: Path, pause: Callable[[], None]) -> Iterator[bool]:
    """Hold the file, made if it isn't there; says whether somebody else had it before. An empty one goes on leaving.

    `pause` is called between two tries; what it raises ends the waiting.
    """
    waited = False
    while True:
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(part, number):  # else it got its name or was removed meanwhile
                break
        except BlockingIOError:
            pass
        except BaseException:
            os.close(number)
            raise
        os.close(number)
        waited = True
        pause()
    try:
        yield waited
    finally:
        if os.fstat(number).st_size == 0 and _is(part, number):
            part.unlink()
        os.close(number)


def _is(path: Path, number: int) -> bool:
    """Whether this path names the file that is open as `number`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
