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
TAIL = 16384  # bytes of the index that are read to see how far the ids went
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
        lines = [line for line in text.split(b"\n") if line]
        self.lines = len(lines)
        try:
            values = json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            values = [_whole(line) for line in lines]
        for value in values:
            try:
                number, inode, changed, size, item = value
                found[number] = ((inode, changed, size), item)
            except (ValueError, TypeError):
                continue
        return found

    def last(self) -> int:
        """The largest id in its last lines, which are those written lately; -1 where there is none."""
        try:
            with open(self.place, "rb") as stream:
                start = stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
                lines = stream.read().split(b"\n")
        except OSError:
            return -1
        whole = (line for line in lines[1 if start else 0 :] if line.startswith(b"[") and line.endswith(b"]"))
        # the lines are not parsed: every create looks here, and that took it a millisecond
        found = (line[1:].partition(b",")[0] for line in whole)
        return max((int(number) for number in found if number.isdigit()), default=-1)

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


def indexed_snapshot(value: Any, number: int) -> Snapshot | None:
    """What a line says of a snapshot; None where it says nothing that can be understood."""
    try:
        item = Snapshot.from_line(dict(value))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return item if item.id == number else None


def _whole(line: bytes) -> Any:
    """One line of an index with torn ones; None for such."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _line(stamp: Stamp, snapshot: Snapshot) -> bytes:
    return json.dumps([snapshot.id, *stamp, snapshot.to_line()], separators=(",", ":")).encode()
