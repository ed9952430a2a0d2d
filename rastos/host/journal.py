"""A journal of intents: what a multi-step operation was doing, so that the next start can finish or undo it.

One file per intent, one JSON line per step, each fsynced before the step's effect is relied on. A torn last line is the
step that was being written when the power went: it never happened.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rastos.host.files import sync_directory


@dataclass
class Intent:
    """One unfinished operation: its number, name, detail and the steps recorded so far (with their details)."""

    path: Path
    number: int
    operation: str
    detail: dict[str, Any]
    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """Names of the steps recorded, in order."""
        return [name for name, _ in self.records]

    def record(self, step: str, **detail: Any) -> None:
        """Append a step and make it durable."""
        self._append({"step": step, **detail})
        self.records.append((step, detail))

    def close(self) -> None:
        """The operation is complete (or undone): forget it, durably."""
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _append(self, value: dict[str, Any]) -> None:
        data = (json.dumps(value, default=str) + "\n").encode()
        number = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # a line torn by a power cut would swallow the one written behind it
            whole = _lines(self.path)[1]
            if os.fstat(number).st_size != whole:
                os.ftruncate(number, whole)
            if os.write(number, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(number)
        finally:
            os.close(number)


class Journal:
    """The intents of one store; the caller holds the store's lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def begin(self, operation: str, **detail: Any) -> Intent:
        """Record what is about to be done."""
        self.directory.mkdir(parents=True, exist_ok=True)
        number = max((_number(path) for path in self.directory.glob("*.intent")), default=0) + 1
        intent = Intent(self.directory / f"{number:06d}.intent", number, operation, detail)
        intent._append({"operation": operation, "detail": detail})
        sync_directory(self.directory)
        return intent

    def open_intents(self) -> list[Intent]:
        """Unfinished operations, oldest first; a file whose first line is torn was never begun and is removed."""
        found = []
        if not self.directory.is_dir():
            return []
        for path in sorted(self.directory.glob("*.intent")):
            lines, _ = _lines(path)
            if not lines or "operation" not in lines[0]:
                path.unlink()
                continue
            intent = Intent(path, _number(path), lines[0]["operation"], lines[0].get("detail", {}))
            for line in lines[1:]:
                intent.records.append((line.pop("step"), line))
            found.append(intent)
        return found


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines that were written completely, and how many bytes they take."""
    values: list[dict[str, Any]] = []
    length = 0
    for line in path.read_bytes().split(b"\n")[:-1]:  # what has no newline was torn
        try:
            value = json.loads(line)
        except ValueError:
            break
        values.append(value)
        length += len(line) + 1
    return values, length
