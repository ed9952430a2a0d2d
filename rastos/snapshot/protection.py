"""What must not be deleted: the snapshots that run, boot next, booted well last, are pinned, or are being worked on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rastos.errors import IntegrityError

from . import subvolume
from .metadata import Snapshot, now
from .session_record import read_record, session_folders
from .store import Store
from .verdicts import bad_snapshots


def booted_snapshot(store: Store) -> int | None:
    """The snapshot that runs now; None for the store of an image file."""
    return None if store.booted is None else _snapshot_of(store, store.booted)


def last_good(store: Store) -> int | None:
    """The snapshot of the newest deployment that booted well."""
    return next(iter(_good_entries(store)), None)


def proven(store: Store, snapshots: Iterable[Snapshot]) -> tuple[int, ...]:
    """Snapshots that booted well: those still deployed first, by the newest deployment, then by when it was seen."""
    earlier = sorted((item for item in snapshots if item.proven), key=lambda item: item.proven, reverse=True)
    return tuple(dict.fromkeys([*_good_entries(store), *(item.id for item in earlier)]))


def note_proven(store: Store) -> None:
    """Write into the metadata of snapshots that they booted well, before the entries that say so are collected."""
    for number in _good_entries(store):
        item = store.by_number(number)
        if item is not None and not item.proven:
            store.update(replace(item, proven=now()))


def _good_entries(store: Store) -> list[int]:
    numbers = sorted((entry.number for entry in store.entries() if entry.state == "good"), reverse=True)
    found = [_snapshot_of(store, number) for number in numbers]
    return list(dict.fromkeys(number for number in found if number is not None))


def protected(store: Store, snapshots: Iterable[Snapshot]) -> dict[int, str]:
    """Snapshot id → why it stays, in words that follow "it"."""
    why: dict[int, str] = {item.id: "is pinned" for item in snapshots if item.pinned}
    for number, base in session_bases(store).items():
        why[base] = f"is what session {number} works on"
    good, following, booted = last_good(store), next_deployment(store), booted_snapshot(store)
    if good is not None:
        why[good] = "is the last one known to boot well"
    elif following is not None:
        left = _fallback(store, following)
        if left is not None:
            why[left] = f"is all that is left to boot if deployment {following[0]} fails"
    if following is not None:
        why[following[1]] = f"boots next (deployment {following[0]})"
    if booted is not None:
        why[booted] = f"is running (deployment {store.booted})"
    return why


def foreign_inside(store: Store) -> dict[int, str]:
    """Snapshot id → a subvolume in its tree that rastos did not make: it would go with the snapshot."""
    found: dict[int, str] = {}
    for facts in subvolume.listed(store.top):
        parts = facts.path.split("/")
        if len(parts) > 3 and parts[0] == "snapshots" and parts[2] == "tree" and parts[1].isdigit():
            found[int(parts[1])] = f"holds a subvolume that rastos did not make (/{'/'.join(parts[3:])})"
    return found


def marks_of(store: Store) -> dict[str, tuple[int, ...]]:
    """What is said of snapshots in listings: booted, next, good (the last one), bad (never came up), session."""
    following = next_deployment(store)
    single = {"booted": booted_snapshot(store), "next": following[1] if following else None, "good": last_good(store)}
    return {
        **{word: () if number is None else (number,) for word, number in single.items()},
        "bad": tuple(sorted(bad_snapshots(store))),
        "session": tuple(sorted(set(session_bases(store).values()))),
    }


def next_deployment(store: Store) -> tuple[int, int] | None:
    """Deployment and snapshot that boot next; None where nothing does, or where its record is lost."""
    number = max((entry.number for entry in store.entries() if entry.state != "bad"), default=None)
    snapshot = None if number is None else _snapshot_of(store, number)
    return None if number is None or snapshot is None else (number, snapshot)


def _fallback(store: Store, following: tuple[int, int]) -> int | None:
    """Where nothing has booted well yet: the snapshot that the loader would fall back to."""
    others = sorted((entry.number for entry in store.entries() if entry.state != "bad"), reverse=True)
    for number in others:
        snapshot = _snapshot_of(store, number)
        if number < following[0] and snapshot is not None and snapshot != following[1]:
            return snapshot
    return None


def session_bases(store: Store) -> dict[str, int]:
    """Session, by name or key → the snapshot it was begun on."""
    found: dict[str, int] = {}
    for folder in session_folders(store):
        try:
            record = read_record(folder)
        except IntegrityError:
            continue
        if record is not None and record.base is not None:
            found[record.name or record.key] = record.base
    return found


def _snapshot_of(store: Store, deployment: int) -> int | None:
    try:
        return store.deployment(deployment).snapshot
    except (IntegrityError, OSError, KeyError, TypeError):
        return None
