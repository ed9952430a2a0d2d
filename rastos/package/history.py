"""The history of a tree's packages: who changed what, when, and how it ended. Readable without rastos.

`var/log/rastos/packages.jsonl` of the tree (of an image: of its shared state) holds one JSON object per line, only ever
appended to, each line fsynced before the next thing happens:

    {"event": "begin", "number": 7, "time": "2026-01-31T12:00:00+00:00", "uid": 0, "user": "anna",
     "command": "rastos package apply vim", "manifest": "<sha256 or empty>", "undoes": null, "base": null,
     "packages": [{"name": "vim", "action": "upgrade", "version": "9.1-1", "old_version": "9.0-1", "reason": "explicit",
                   "old_reason": "explicit", "channel": "core", "filename": "vim-9.1-1-x86_64.pkg.tar.zst",
                   "sha256": "..."}]}
    {"event": "note", "number": 7, "snapshot": 12}
    {"event": "end", "number": 7, "time": "...", "result": "done", "error": "", "seconds": 1.5, "deployment": 4}

"begin" is written before anything changes. `action` is install, upgrade, downgrade, reinstall, remove or reason (only the
install reason changes). `base`, `snapshot` and `deployment` are ids of the image's store. `result` is done, failed or
interrupted; a begin without an end was interrupted too: by a crash, a power cut, or it is still running. A line that is no
JSON was torn by a power cut, and counts as never written.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rastos.errors import UserError

from .changes import ACTIONS, PackageChange

LOG = "var/log/rastos/packages.jsonl"
RESULTS = ("done", "failed", "interrupted")
_NOTED = ("snapshot", "deployment")
_ENDED = ("result", "error", "seconds", *_NOTED)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a tree; see the module's text. `number` 0: not begun yet."""

    number: int = 0
    started: str = ""
    uid: int = 0
    user: str = ""
    command: str = ""
    manifest: str = ""
    packages: tuple[PackageChange, ...] = ()
    undoes: int | None = None
    base: int | None = None
    ended: str = ""
    result: str = "interrupted"
    error: str = ""
    seconds: float = 0.0
    snapshot: int | None = None
    deployment: int | None = None


class History:
    """The history in one file. Writers take turns; readers need no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, entry: HistoryEntry, *, at_least: int = 1) -> int:
        """Write down what is about to be done, durably; its number, `at_least` that."""
        values = {key: value for key, value in asdict(entry).items() if key not in (*_ENDED, "ended", "started")}
        return self._append({**values, "event": "begin", "time": _now()}, at_least)

    def note(self, number: int, **facts: object) -> None:
        """Add what has become known on the way: the snapshot made, the deployment."""
        self._append({"event": "note", "number": number, **facts})

    def end(self, number: int, result: str, *, error: str = "", seconds: float = 0.0, **facts: object) -> None:
        """Write down how it ended; `result` is one of `RESULTS`."""
        known = {"result": result, "error": error, "seconds": round(seconds, 3), **facts}
        self._append({"event": "end", "number": number, "time": _now(), **known})

    def entries(self) -> tuple[HistoryEntry, ...]:
        """Every change by number, the oldest first."""
        found: dict[int, HistoryEntry] = {}
        for line in self._lines():
            number, event = line.get("number"), line.get("event")
            if not isinstance(number, int):
                continue
            if event == "begin":
                found[number] = _begun(line)
            elif number in found and event in ("note", "end"):
                found[number] = replace(found[number], **_known(line, _ENDED))
                if event == "end":
                    found[number] = replace(found[number], ended=_clean(line.get("time", "")))
        return tuple(found[number] for number in sorted(found))

    def entry(self, number: int) -> HistoryEntry:
        """One change. UserError: there is none of that number."""
        return chosen_entry(self.entries(), number, self.path)

    def _lines(self) -> Iterable[dict[str, Any]]:
        try:
            data = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return
        for text in data.split(b"\n"):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line

    def _append(self, values: dict[str, Any], at_least: int = 1) -> int:
        from rastos.host import sync_directory

        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self.path, flags, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = values.get("number") or 0
            if not number:
                known = [line["number"] for line in self._lines() if isinstance(line.get("number"), int)]
                number = max([at_least - 1, *known]) + 1
            size = os.fstat(file).st_size
            # a line torn by a power cut must not swallow this one
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            text = json.dumps({**values, "number": number}, default=str)
            data = (b"\n" if torn else b"") + text.encode() + b"\n"
            if os.write(file, data) != len(data):
                raise OSError(28, os.strerror(28), str(self.path))
            os.fsync(file)
        finally:
            os.close(file)
        if new:
            for folder in list(self.path.parents)[:3]:
                sync_directory(folder)
        return number


def history_of(root: Path) -> History:
    """The history of the tree in a folder. IntegrityError: a link in it leads out of the tree."""
    from rastos.host import safe_join

    return History(safe_join(root, LOG))


def chosen_entry(entries: Iterable[HistoryEntry], number: int | None, on: object) -> HistoryEntry:
    """The entry of that number; None: the last one that was completed. UserError: there is none."""
    every = tuple(entries)
    if number is None:
        done = [entry for entry in every if entry.result == "done"]
        if not done:
            raise UserError("no package change is recorded", on=on, next_step="changes made by rastos are recorded")
        return done[-1]
    for entry in every:
        if entry.number == number:
            return entry
    known = f"there are {every[0].number} to {every[-1].number}" if every else "none is recorded"
    raise UserError(f"there is no change {number} in the history", on=on, next_step=known)


def _begun(line: Mapping[str, Any]) -> HistoryEntry:
    names = {item.name for item in fields(PackageChange)}
    listed = line.get("packages")
    packages = []
    for item in listed if isinstance(listed, list) else ():
        texts = {key: _clean(value) for key, value in item.items() if key in names} if isinstance(item, dict) else {}
        # names become parts of paths: what can't be one was not written by us
        plain = not any("/" in texts.get(key, "") for key in ("name", "version", "old_version", "filename"))
        if plain and texts.get("name", ".")[0] not in ".-" and texts.get("action") in ACTIONS:
            packages.append(PackageChange(**texts))
    known = _known(line, ("number", "uid", "user", "command", "manifest", "undoes", "base"))
    return HistoryEntry(**known, started=_clean(line.get("time", "")), packages=tuple(packages))


def _known(line: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The values that are what they should be: the tree may be anybody's."""
    found: dict[str, Any] = {}
    for name in names:
        value = line.get(name)
        if name in ("user", "command", "manifest", "error", "result"):
            if isinstance(value, str) and (name != "result" or value in RESULTS):
                found[name] = _clean(value)
        elif isinstance(value, int | float if name == "seconds" else int):
            found[name] = value
    return found


def _clean(value: object) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
