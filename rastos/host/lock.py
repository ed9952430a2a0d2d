"""Locks that can't go stale: flock(2) on a descriptor, with the holder's name in the file."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rastos.errors import BusyError


@contextmanager
def locked(path: Path, purpose: str, *, wait: float = 0.0, shared: bool = False) -> Iterator[None]:
    """Hold a lock for the length of the block; `wait` is how many seconds to try.

    The kernel drops it when the process dies, however it dies. Raises BusyError naming pid, purpose and since when.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BusyError("it is in use", on=path, holder=_holder(number)) from None
                time.sleep(0.05)
        # of several who share it, the last one to come is named
        record = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(number, 0)
        os.pwrite(number, json.dumps(record).encode(), 0)
        yield
        if not shared:
            os.ftruncate(number, 0)
    finally:
        os.close(number)


def _holder(number: int) -> str:
    try:
        record = json.loads(os.pread(number, 4096, 0))
        # a record outlives a holder that was killed: then it is not the one who has the lock now
        if Path(f"/proc/{int(record['pid'])}").exists():
            return f"process {record['pid']} ({record['purpose']}, since {record['since']})"
    except (ValueError, KeyError, TypeError):
        pass
    return "another process"
