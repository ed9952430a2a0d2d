"""Sessions: work on a private, writable copy of a snapshot, which becomes a snapshot only by an explicit commit.

A session lives as long as its block. One that is kept has a name and stays, whatever happens to its process, until it is
committed or discarded: `open_session` goes on in it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rastos.errors import UserError
from rastos.host import faults, locked

from . import subvolume
from .metadata import Intent, Snapshot, now
from .references import check_name
from .session_publish import describe, publish
from .session_record import (
    BEFORE,
    GOING,
    LOCK,
    TORN,
    SessionRecord,
    check_session_name,
    kept_session,
    write_record,
)
from .store import Store


class Session:
    """An open session; `tree` is its writable subvolume, `record` what is known of it."""

    def __init__(self, store: Store, record: SessionRecord, folder: Path) -> None:
        self.store = store
        self.record = record
        self.folder = folder
        self.tree = folder / "tree"
        self.committed = False

    @property
    def base(self) -> int | None:
        """The snapshot it is a copy of; None where it began empty."""
        return self.record.base

    def keep(self, name: str) -> None:
        """From now on the session stays when its block is left. Raises UserError for a name that can't be."""
        if self.record.name != name:
            check_session_name(self.store, name)
        self._write(replace(self.record, name=name, keep=True))
        faults.reached("session.kept")

    @contextmanager
    def step(self, doing: str, intent: Intent, *, undone: bool = False) -> Iterator[None]:
        """A named piece of work; `intent` counts once it is done. `undone`: where it fails, also by a crash, the tree is
        as it was before; else what was done of it stays, and a kept session says that it was interrupted."""
        kept = self.record.keep
        if kept:
            if undone:
                subvolume.snapshot(self.tree, self.folder / BEFORE)
                faults.reached("session.marked")
            self._write(replace(self.record, doing=doing))
        try:
            yield
        except BaseException:
            if kept:
                restore(self.folder)
                self._write(replace(self.record, doing=""))
                subvolume.delete(self.folder / TORN)
            raise
        faults.reached("session.worked")
        self._write(replace(self.record, doing="", intent=self.record.intent.then(intent)))
        if kept and undone:
            faults.reached("session.noted")
            subvolume.delete(self.folder / BEFORE)

    def commit(
        self,
        description: str,
        *,
        name: str = "",
        tags: tuple[str, ...] = (),
        intent: Intent | None = None,
        replace_base: bool = False,
    ) -> Snapshot:
        """Make the tree a read-only snapshot, in one rename; nothing of it is visible before.

        `intent`: what was asked of it, for a later rebase (default: what its steps noted). `replace_base`: it takes the
        place of the snapshot it was made from, with its name and tags.
        """
        store = self.store
        if name:
            check_name(store, name)
        base = self._base_there()
        number = store.take_number("snapshot")
        building = store.top / "snapshots" / f".new-{number}"
        building.mkdir()
        if self.record.keep:
            # a crash must not cost a kept session its tree
            self._write(replace(self.record, snapshot=number))
            subvolume.snapshot(self.tree, building / "tree")
        else:
            # moved before it becomes read-only: a read-only subvolume can't get another parent folder
            os.rename(self.tree, building / "tree")
        faults.reached("snapshot.moved")
        made = describe(
            building,
            number,
            parent=base,
            beside=store.tree(base) if base is not None else None,
            description=description,
            name=name,
            tags=tags,
            intent=intent or self.record.intent,
            succeeds=store.snapshot(base) if replace_base and base is not None else None,
        )
        faults.reached("snapshot.described")
        if replace_base and base is not None:
            publish(store, {number: building}, [(base, number)])
            made = store.snapshot(number)
        else:
            store.sync()  # the files' content, before the snapshot can be seen: a rename may be durable before it
            os.rename(building, store.snapshot_path(number))
            store.sync()
            store.remember(made)
        faults.reached("snapshot.committed")
        self.committed = True
        return made

    def discard(self) -> None:
        """Drop the copy, and all that is known of it."""
        if self.folder.is_dir():
            going = self.folder.with_name(GOING + self.folder.name)
            os.rename(self.folder, going)  # half gone, it must not look like one that was kept
            faults.reached("session.hidden")
            subvolume.drop_folder(going)

    def _base_there(self) -> int | None:
        base = self.record.base
        return base if base is not None and self.store.snapshot_path(base).is_dir() else None

    def _write(self, record: SessionRecord) -> None:
        self.record = record
        if record.keep:
            write_record(self.folder, record)


@contextmanager
def create_session(
    store: Store, base: int | None, purpose: str, *, keep: str = "", tree: Path | None = None
) -> Iterator[Session]:
    """A session on a copy of snapshot `base` (None: an empty tree). Left without a commit, it leaves nothing.

    `tree`: a writable subvolume on the same top level, which becomes the session's in the place of an empty one. `keep`: a name; then it stays, also if we die, until it is committed or discarded.
    """
    if keep:
        check_session_name(store, keep)
    folder = store.top / "sessions" / secrets.token_hex(6)
    folder.mkdir(parents=True)
    record = SessionRecord(folder.name, base, purpose, now(), os.getpid(), name=keep, keep=bool(keep))
    with _entered(Session(store, record, folder)) as session:
        if keep:  # without a record it is dropped after a crash
            write_record(folder, record)
        if tree is not None:
            os.rename(tree, session.tree)
        elif base is None:
            subvolume.create(session.tree)
        else:
            subvolume.snapshot(store.tree(base), session.tree)
        faults.reached("session.opened")
        yield session


@contextmanager
def open_session(store: Store, name: str) -> Iterator[Session]:
    """Go on in a kept session; it stays unless it is committed or discarded.

    Raises UserError where there is none, BusyError where somebody works in it.
    """
    record = kept_session(store, name)
    if record.many:
        raise UserError(
            f"'{name}' is an unfinished change of many snapshots, nothing can be run in it",
            next_step="the command that began it goes on; or drop it: `rastos snapshot session discard`",
        )
    session = Session(store, record, store.top / "sessions" / record.key)
    with _entered(session):
        session._write(replace(record, pid=os.getpid()))
        yield session


def discard_session(store: Store, name: str) -> SessionRecord:
    """Drop a kept session of either kind. Raises UserError where there is none, BusyError where somebody works in it."""
    record = kept_session(store, name)
    folder = store.top / "sessions" / record.key
    with locked(folder / LOCK, f"discard the session {name}"):
        Session(store, record, folder).discard()
    return record


@contextmanager
def _entered(session: Session) -> Iterator[Session]:
    with locked(session.folder / LOCK, session.record.purpose):
        try:
            yield session
        finally:
            begun = session.tree.exists()
            if session.committed or not session.record.keep or not begun:
                session.discard()


def restore(folder: Path) -> None:
    """Give a session's tree of before the step under way its name again, if it was kept; the other one is `torn` then."""
    if (folder / BEFORE).exists():
        if (folder / "tree").exists():
            subvolume.delete(folder / TORN)
            os.rename(folder / "tree", folder / TORN)
            faults.reached("session.torn")
        os.rename(folder / BEFORE, folder / "tree")
        faults.reached("session.restored")
