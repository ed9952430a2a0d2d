"""What is written down of a session beside its tree: how it began, what was done in it, whether it outlives its process.

sessions/<key>/tree             the writable copy
sessions/<key>/session.json     this record
sessions/<key>/lock             held by the process that works in it
sessions/<key>/before           the tree as it was before the step under way, where that step is undone when it fails
sessions/<key>/torn             what such a step has left, on its way out
sessions/<key>/<id>/            of a change of many snapshots: one made ready, not published yet
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json, write_json

from .metadata import Intent
from .store import Store

RECORD = "session.json"
LOCK = "lock"
BEFORE = "before"
TORN = "torn"
GOING = ".gone-"  # a session that is being dropped
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session. `keep`: it stays when its process ends, however that ends. `doing`: the step under way.

    `snapshot`: the id it is becoming. `request`: of a change of many snapshots, what tells it from another one; `base` is
    then its first node, and `made` says which snapshot each finished one stands for (old id, new id).
    """

    key: str
    base: int | None
    purpose: str
    since: str
    pid: int
    name: str = ""
    keep: bool = False
    intent: Intent = field(default_factory=Intent)
    doing: str = ""
    snapshot: int | None = None
    request: str = ""
    made: tuple[tuple[int, int], ...] = ()

    @property
    def many(self) -> bool:
        """Whether it is a change of many snapshots, and no copy of one."""
        return bool(self.request)

    def to_json(self) -> dict[str, Any]:
        """As written to session.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SessionRecord:
        """From session.json; unknown keys of later versions are ignored."""
        known = {key: value[key] for key in cls.__slots__ if key in value}
        known["intent"] = Intent.from_json(known.get("intent") or {})
        known["made"] = tuple((int(old), int(new)) for old, new in known.get("made", ()))
        return cls(**known)


def write_record(folder: Path, record: SessionRecord) -> None:
    """Write it, by atomic replace."""
    write_json(folder / RECORD, record.to_json())


def read_record(folder: Path) -> SessionRecord | None:
    """The record in a session's folder; None where the session was not begun yet. IntegrityError: it is damaged."""
    place = folder / RECORD
    if not place.is_file():
        return None
    try:
        return SessionRecord.from_json(read_json(place))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise IntegrityError(
            "the record of a session is damaged",
            on=place,
            next_step=f"its tree is in {folder / 'tree'}; drop it with `rastos snapshot session discard {folder.name}`",
        ) from error


def session_folders(store: Store) -> list[Path]:
    """Folders of sessions, also unfinished ones."""
    place = store.top / "sessions"
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def kept_sessions(store: Store) -> tuple[SessionRecord, ...]:
    """Sessions that stay until they are committed or discarded, by name; a damaged record is shown by its folder."""
    found = []
    for folder in session_folders(store):
        if folder.name.startswith("."):
            continue
        try:
            record = read_record(folder)
        except IntegrityError:
            record = SessionRecord(folder.name, None, "(record damaged)", "", 0, name=folder.name, keep=True)
        if record is not None and record.keep:
            found.append(record)
    return tuple(sorted(found, key=lambda record: record.name))


def kept_session(store: Store, name: str) -> SessionRecord:
    """The kept session of that name. Raises UserError with those that are there."""
    every = kept_sessions(store)
    for record in every:
        if record.name == name:
            return record
    known = ", ".join(record.name for record in every)
    raise UserError(
        f"there is no session '{name}'",
        next_step=f"sessions: {known}" if known else "keep one: `rastos snapshot run ID --keep NAME`",
    )


def check_session_name(store: Store, name: str) -> None:
    """Raises UserError where a new session can't have this name."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' can't be the name of a session",
            next_step="begin with a letter; then letters, digits, dots, dashes, at most 64",
        )
    if any(record.name == name for record in kept_sessions(store)):
        raise UserError(
            f"there is a session '{name}' already",
            next_step=f"go on in it: `rastos snapshot session enter {name}`, or choose another name",
        )
