"""Snapshots that were found bad: remembered after their boot entry is gone, and not chosen again unless named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json, write_json

from .bootentry import EntryName
from .metadata import Deployment, Snapshot, now
from .store import Store

RECORD = "bad.json"


@dataclass(frozen=True, slots=True)
class BadMark:
    """A snapshot that did not come up: which deployment of it, why, when that was noted (ISO 8601 UTC)."""

    snapshot: int
    uuid: str
    deployment: int
    why: str
    noted: str


def bad_snapshots(store: Store) -> dict[int, BadMark]:
    """Those recorded, and those whose boot entry says so now; one that booted well later is bad no more."""
    found = _recorded(store)
    deployments = {item.number: item for item in _deployments(store)}
    for entry in store.entries():
        made = deployments.get(entry.number)
        if made is None:
            continue
        mark = found.get(made.snapshot)
        if was_bad(entry, made):
            if mark is None or mark.deployment < entry.number:
                why = f"deployment {entry.number} used up its tries without a good boot"
                found[made.snapshot] = BadMark(made.snapshot, _uuid(store, made.snapshot), entry.number, why, now())
        elif entry.state == "good" and mark is not None and mark.deployment < entry.number:
            del found[made.snapshot]
    # ids are never reused, but a store can be copied and go on differently: the uuid tells whether it is the same one
    return {
        number: mark
        for number, mark in found.items()
        if store.snapshot_path(number).is_dir() and _uuid(store, number) in (mark.uuid, "")
    }


def was_bad(entry: EntryName, made: Deployment) -> bool:
    """No tries left, and not because it was to boot only once."""
    return entry.state == "bad" and not made.trial


def note_verdicts(store: Store) -> None:
    """Record what the entries say, before they go."""
    _write(store, bad_snapshots(store))


def mark_bad(store: Store, snapshot: Snapshot, deployment: int, why: str) -> None:
    """Record a verdict that came from elsewhere (a health check, a proof in a virtual machine)."""
    found = bad_snapshots(store)
    found[snapshot.id] = BadMark(snapshot.id, snapshot.uuid, deployment, " ".join(why.split()), now())
    _write(store, found)


def newest_usable(store: Store) -> Snapshot:
    """The newest snapshot that was not found bad. Raises UserError where there is none."""
    bad = bad_snapshots(store)
    every = [item for item in store.snapshots() if item.id not in bad]
    if every:
        return every[-1]
    names = ", ".join(map(str, bad))
    raise UserError(
        "there is no snapshot to deploy" + (f" that was not found bad ({names})" if bad else ""),
        next_step="name one to deploy it all the same: `rastos snapshot deploy ID`",
    )


def _deployments(store: Store) -> list[Deployment]:
    found = []
    for path in (store.top / "deployments").iterdir():
        if path.name.isdigit():
            try:
                found.append(store.deployment(int(path.name)))
            except (IntegrityError, OSError, KeyError, TypeError):
                continue
    return found


def _uuid(store: Store, snapshot: int) -> str:
    """Of one snapshot, without looking at all others; "" where its metadata is lost."""
    try:
        return str(read_json(store.snapshot_path(snapshot) / "snapshot.json")["uuid"])
    except (OSError, IntegrityError, TypeError, KeyError):
        return ""


def _recorded(store: Store) -> dict[int, BadMark]:
    try:
        rows: list[dict[str, Any]] = read_json(store.top / RECORD)
        return {int(row["snapshot"]): BadMark(**row) for row in rows}
    except (OSError, IntegrityError, TypeError, KeyError):
        return {}


def _write(store: Store, found: dict[int, BadMark]) -> None:
    if {number: mark.deployment for number, mark in found.items()} != {
        number: mark.deployment for number, mark in _recorded(store).items()
    }:
        write_json(store.top / RECORD, [asdict(mark) for _, mark in sorted(found.items())])
