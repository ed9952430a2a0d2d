"""A change of many snapshots as one session: each successor is made ready aside, then all are published by one record.

An error ends it and leaves nothing. If its process dies, or is interrupted, what is ready stays, hidden, and the same
request goes on from there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rastos.errors import BusyError
from rastos.host import faults, locked, read_json

from . import subvolume
from .metadata import Intent, Snapshot, now
from .session import Session
from .session_publish import DESCRIPTION, OPERATION, describe, publish
from .session_record import GOING, LOCK, SessionRecord, kept_sessions, write_record
from .store import Store


class SessionGroup:
    """An open change of many; `ready` are the finished successors by the snapshot whose place they take."""

    def __init__(self, store: Store, record: SessionRecord, folder: Path) -> None:
        self.store = store
        self.record = record
        self.folder = folder
        self.ready = self._ready()

    def tree(self, snapshot: int) -> Path:
        """The tree of the finished successor of a snapshot."""
        return self.folder / str(self.ready[snapshot].id) / "tree"

    @contextmanager
    def successor(self, before: Snapshot, source: Path) -> Iterator[Session]:
        """A session that makes the successor of a snapshot from a copy of `source`; `finish` it inside."""
        number = self.store.take_number("snapshot")
        folder = self.folder / str(number)
        folder.mkdir()
        subvolume.snapshot(source, folder / "tree")
        faults.reached("group.copied")
        record = SessionRecord(self.record.key, before.id, self.record.purpose, now(), os.getpid())
        yield Session(self.store, record, folder)

    def finish(
        self, session: Session, before: Snapshot, *, parent: int, beside: Path, description: str, intent: Intent
    ) -> Snapshot:
        """The successor is complete: describe it. From now on it is not made again."""
        number = int(session.folder.name)
        made = describe(
            session.folder,
            number,
            parent=parent,
            beside=beside,
            description=description,
            intent=intent,
            succeeds=before,
        )
        self.ready[before.id] = made
        faults.reached("group.ready")
        return made

    def commit(self) -> None:
        """Publish all of them together; their names and tags come with them."""
        pairs = [(old, made.id) for old, made in sorted(self.ready.items())]
        self.record = replace(self.record, made=tuple(pairs))
        write_record(self.folder, self.record)
        publish(self.store, {new: self.folder / str(new) for _, new in pairs}, pairs)

    def _ready(self) -> dict[int, Snapshot]:
        places = [path / DESCRIPTION for path in self.folder.iterdir() if path.name.isdigit()]
        found = [Snapshot.from_json(read_json(place)) for place in places if place.is_file()]
        return {made.succeeds: made for made in found if made.succeeds is not None}


@contextmanager
def opened_group(store: Store, kind: str, base: int, request: str) -> Iterator[SessionGroup]:
    """The unfinished change with this request, or a new one. Left by an error, or committed, nothing of it stays.

    BusyError: somebody is at it.
    """
    found = [record for record in kept_sessions(store) if record.request == request]
    if found:
        record = found[0]
    else:
        taken = {item.name for item in kept_sessions(store)}
        name = next(text for text in _names(f"{kind}-{base}") if text not in taken)
        record = SessionRecord(
            secrets.token_hex(6), base, f"snapshot {kind}", now(), os.getpid(), name=name, keep=True, request=request
        )
    folder = store.top / "sessions" / record.key
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, record.purpose):
        write_record(folder, replace(record, pid=os.getpid()))
        faults.reached("group.begun")
        try:
            yield SessionGroup(store, record, folder)
        except (Exception, GeneratorExit) as error:
            if not isinstance(error, BusyError):
                _drop(store, folder)
            raise
        _drop(store, folder)


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _drop(store: Store, folder: Path) -> None:
    if any(intent.operation == OPERATION for intent in store.journal.open_intents()):
        return  # its commit record is there: recovery finishes it
    going = folder.with_name(GOING + folder.name)
    os.rename(folder, going)
    faults.reached("group.hidden")
    subvolume.drop_folder(going)
