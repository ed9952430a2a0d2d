"""The index: what all snapshot.json files say, in one file, so that ten thousand snapshots are listed at once.

A cache and nothing more. Each line carries the inode, change time and size of the file it was read from; a line counts
only where the file still has them, so nothing has to be kept in step: an edit by hand, a crash, an older rastos or a
lost index only cost the reading of the files. Lines are appended without fsync; a torn one is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .metadata import Snapshot

NAME = "snapshots.index"
Stamp = tuple[int, int, int]


def stamp_of(file: str | Path) -> Stamp:
    """Inode, change time (ns) and size: an atomic replace changes the first, a write in place the second."""
    found = os.stat(file)
    return found.st_ino, found.st_ctime_ns, found.st_size


class Index:
    """The index of one store; `lines` says how many the file has, of which the last one of each snapshot counts."""

    def __init__(self, top: Path) -> None:
        self.place = top / NAME
        self.lines = 0

    def read(self) -> dict[int, tuple[Stamp, dict[str, Any]]]:
        """Snapshot id → stamp of its file, and what the file said; {} where there is no index."""
        found: dict[int, tuple[Stamp, dict[str, Any]]] = {}
        self.lines = 0
        try:
            text = self.place.read_bytes()
        except OSError:
            return found
        for line in text.split(b"\n"):
            if not line:
                continue
            self.lines += 1
            try:
                number, inode, changed, size, value = json.loads(line)
                found[int(number)] = ((inode, changed, size), value)
            except (ValueError, TypeError):
                continue
        return found

    def append(self, stamp: Stamp, snapshot: Snapshot) -> None:
        """Add what was just written. A read-only or full file system is no reason to fail: it is a cache."""
        try:
            number = os.open(self.place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return
        try:
            # begun on a line of its own, whatever the one before came to
            os.write(number, b"\n" + _line(stamp, snapshot) + b"\n")
        except OSError:
            pass
        finally:
            os.close(number)

    def rewrite(self, every: Mapping[int, tuple[Stamp, Snapshot]]) -> None:
        """Write it anew with one line for each snapshot."""
        new = self.place.with_name(f".{NAME}.new")
        try:
            new.write_bytes(b"\n".join(_line(stamp, item) for stamp, item in every.values()) + b"\n")
            os.replace(new, self.place)
            self.lines = len(every)
        except OSError:
            new.unlink(missing_ok=True)


def _line(stamp: Stamp, snapshot: Snapshot) -> bytes:
    return json.dumps([snapshot.id, *stamp, snapshot.to_json()], separators=(",", ":")).encode()
