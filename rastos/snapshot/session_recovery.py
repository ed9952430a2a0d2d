"""Sessions after a crash: those that were to be kept stay, at the end of a whole step; the others go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rastos.errors import BusyError, IntegrityError
from rastos.host import Intent as Unfinished
from rastos.host import locked

from . import subvolume
from .session import restore
from .session_publish import DESCRIPTION, OPERATION, finish_publishing
from .session_record import BEFORE, GOING, LOCK, TORN, SessionRecord, read_record, session_folders, write_record
from .store import Store


def settle_sessions(store: Store, intents: Sequence[Unfinished]) -> None:
    """Finish what has its commit record, then look at each session that nobody works in."""
    for intent in intents:
        if intent.operation == OPERATION:
            finish_publishing(store, intent.detail)
    for path in (store.top / "sessions").glob("*.json"):  # as older versions wrote them
        path.unlink()
    for folder in session_folders(store):
        try:
            with locked(folder / LOCK, "recover"):
                _settle(store, folder)
        except BusyError:
            continue  # alive


def _settle(store: Store, folder: Path) -> None:
    try:
        record = None if folder.name.startswith(GOING) else read_record(folder)
    except IntegrityError:
        return  # somebody's work may be in it: it is shown, and goes only when asked
    if record is None or not record.keep or _is_committed(store, record):
        subvolume.drop_folder(folder)
    elif record.many:
        _settle_many(folder)
    elif not (folder / "tree").exists() and not (folder / BEFORE).exists():
        subvolume.drop_folder(folder)  # killed before it had a tree
    else:
        _settle_one(folder, record)


def _settle_one(folder: Path, record: SessionRecord) -> None:
    """A step that is undone when it fails has left the tree of before; what was done of another stays, and is told."""
    if record.doing and ((folder / BEFORE).exists() or (folder / TORN).exists()):
        restore(folder)
        write_record(folder, replace(record, doing=""))
    subvolume.delete(folder / BEFORE)
    subvolume.delete(folder / TORN)


def _settle_many(folder: Path) -> None:
    """What is described is finished; the one that was being made is made again."""
    for path in folder.iterdir():
        if path.is_dir() and not (path / DESCRIPTION).is_file():
            going = path.with_name(GOING + path.name)
            os.rename(path, going)
            subvolume.drop_folder(going)


def _is_committed(store: Store, record: SessionRecord) -> bool:
    """Killed between the rename that made it a snapshot and its own end."""
    if record.many:
        return any(store.snapshot_path(new).is_dir() for _, new in record.made)
    return record.snapshot is not None and store.snapshot_path(record.snapshot).is_dir()
