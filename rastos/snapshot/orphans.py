"""What is lost, left over or foreign in a store: looked for in every direction between snapshots, deployments and the ESP.

`examine` changes nothing. What `mend` may do is written with each finding, and it is only what loses nothing: metadata is
written anew, names that lead nowhere are taken away. What rastos did not make is named and never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from rastos.errors import IntegrityError
from rastos.host import write_json

from . import subvolume
from .bootentry import ENTRIES, KERNELS, PENDING, EntryName, parse_entry
from .metadata import NO_DELTA, Deployment, now
from .recovery import drop_deployment, kernels_wanted
from .salvage import salvaged
from .store import STATE, Store
from .store_info import COPY, FILE, said
from .tree import circles

Severity = Literal["broken", "left over", "foreign"]
# what lies at the top level of a store
OURS = frozenset(
    {
        "snapshots",
        "deployments",
        "sessions",
        "receiving",
        "journal",
        "state",
        FILE,
        COPY,
        "bad.json",
        "snapshots.index",
        "image.json",
        "adopted",
    }
)
CLOCK = timedelta(days=1)  # how far ahead a time may be before it is worth a word


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: its kind, where, what is wrong, and what mending it does ("": nothing is done to it)."""

    severity: Severity
    kind: str
    where: str
    what: str
    mending: str = ""
    number: int | None = None


def examine(store: Store) -> tuple[Finding, ...]:
    """All there is to find, what is broken first."""
    found = [
        *_store(store),
        *_metadata(store),
        *_shape(store),
        *_deployments(store),
        *_entries(store),
        *_kernels(store),
        *_state(store),
        *_unfinished(store),
        *_foreign(store),
    ]
    order = ("broken", "left over", "foreign")
    return tuple(sorted(found, key=lambda item: order.index(item.severity)))


def _store(store: Store) -> Iterator[Finding]:
    for name in (FILE, COPY):
        if said(store.top / name) is None:
            lost = (store.top / name).exists() or name == FILE
            what = "what it says of the store can't be read" if lost else "the copy of store.json is not there yet"
            severity: Severity = "broken" if lost else "left over"
            yield Finding(severity, "store", name, what, "it is told anew from its copy, boot entries and ids")


def _metadata(store: Store) -> Iterator[Finding]:
    for number in store.numbers():
        where = f"snapshots/{number}"
        tree = store.tree(number)
        if not tree.is_dir():
            rest = os.listdir(store.snapshot_path(number))
            empty = set(rest) <= {"snapshot.json"}
            mending = "its record is removed" if empty else ""
            yield Finding("broken", "no tree", where, "the tree is gone, its record is left", mending, number)
            continue
        try:
            store.recorded(number)
        except IntegrityError as error:
            yield Finding("broken", "metadata", where, error.what, "it is told anew from index and tree", number)
        if subvolume.is_btrfs_subvolume(tree) and not subvolume.is_read_only(tree):
            what = "the tree can be written to: whether it was, nothing tells"
            yield Finding("broken", "writable", where, what, "it is made read-only", number)


def _shape(store: Store) -> Iterator[Finding]:
    every = store.snapshots()
    known = {item.id for item in every}
    names: dict[str, int] = {}
    cut = circles(every)
    later = datetime.now(UTC) + CLOCK
    for item in every:
        where = f"snapshots/{item.id}"
        if item.parent is not None and item.parent not in known:
            what = f"its parent {item.parent} is not there"
            yield Finding("broken", "parent", where, what, "it becomes a root, as which it is shown", item.id)
        if item.id in cut:
            yield Finding("broken", "parent", where, "its parents go in a circle", "it becomes a root", item.id)
        if item.name and names.setdefault(item.name, item.id) != item.id:
            what = f"snapshot {names[item.name]} has the name '{item.name}' too"
            yield Finding("broken", "name", where, what)
        time = datetime.fromisoformat(item.created)
        if (time if time.tzinfo else time.replace(tzinfo=UTC)) > later:
            yield Finding("foreign", "clock", where, f"it is from the future ({item.created}): the clock was wrong")


def _deployments(store: Store) -> Iterator[Finding]:
    entries = {entry.number: entry for entry in store.entries()}
    known = set(store.numbers())
    readable = {item.number: item for item in store.readable_deployments()}
    for number in store.deployment_numbers():
        where = f"deployments/{number}"
        path = store.deployment_path(number)
        if number not in entries:
            if number == store.booted:
                yield Finding("broken", "deployment", where, "it runs, but no boot entry starts it")
            else:
                yield Finding("left over", "deployment", where, "no boot entry starts it", "it is removed", number)
        elif number not in readable:
            yield Finding(
                "broken", "record", where, "its record is lost", "it is told anew from the boot entry", number
            )
        elif readable[number].snapshot not in known:
            yield Finding("broken", "deployment", where, f"its snapshot {readable[number].snapshot} is not there")
        if not (path / "etc").is_dir():
            yield Finding("broken", "deployment", where, "its /etc is gone: deploy the snapshot again")


def _entries(store: Store) -> Iterator[Finding]:
    for entry in store.entries():
        where = f"ESP {ENTRIES}/{entry.name}"
        wrong = _wrong(store, entry)
        if wrong:
            mending = "" if entry.number == store.booted else "the entry is removed: it can't boot"
            yield Finding("broken", "entry", where, wrong, mending, entry.number)
            continue
        values = _read(store, entry)
        for key in ("linux", "efi", "initrd"):
            if values.get(key) and not store.esp.exists(values[key]):
                yield Finding("broken", "kernel", where, f"{values[key]} is not on the ESP: deploy the snapshot again")
    for name in store.esp.list(ENTRIES):
        if name.startswith("rastos-") and name.endswith(PENDING):
            yield Finding("left over", "entry", f"ESP {ENTRIES}/{name}", "it was never finished", "it is removed")


def _wrong(store: Store, entry: EntryName) -> str:
    if not (store.deployment_path(entry.number) / "etc").is_dir():
        return f"it starts deployment {entry.number}, which is not there"
    values = _read(store, entry)
    snapshot = _started(values)
    if snapshot is None or not (values.get("linux") or values.get("efi")):
        return "it names no snapshot or no kernel"
    return "" if (store.tree(snapshot)).is_dir() else f"it starts snapshot {snapshot}, which is not there"


def _read(store: Store, entry: EntryName) -> dict[str, str]:
    return parse_entry(store.esp.read_all(ENTRIES).get(entry.name, b"").decode(errors="replace"))


def _started(values: dict[str, str]) -> int | None:
    words = dict(word.partition("=")[::2] for word in values.get("options", "").split())
    number = words.get("rastos.snapshot", "")
    return int(number) if number.isdigit() else None


def _kernels(store: Store) -> Iterator[Finding]:
    wanted = kernels_wanted(store)
    for name in store.esp.list(KERNELS):
        if name not in wanted:
            yield Finding("left over", "kernel", f"ESP {KERNELS}/{name}", "no boot entry starts it", "it is removed")


def _state(store: Store) -> Iterator[Finding]:
    for name in STATE:
        if not (store.top / "state" / name).is_dir():
            what = f"/{name} of every deployment is gone"
            yield Finding("broken", "state", f"state/{name}", what, "an empty one is made")


def _unfinished(store: Store) -> Iterator[Finding]:
    for intent in store.journal.open_intents() if not store.writable else ():
        what = f"'{intent.operation}' was not finished"
        yield Finding("left over", "journal", f"journal/{intent.path.name}", what, "it is finished or undone")
    for folder in ("snapshots", "deployments"):
        for path in sorted((store.top / folder).glob(".new-*")):
            what = "it never got its name"
            yield Finding("left over", "unfinished", f"{folder}/{path.name}", what, "it is removed or finished")


def _foreign(store: Store) -> Iterator[Finding]:
    for name in sorted(os.listdir(store.top)):
        if name not in OURS and not name.startswith("."):
            yield Finding("foreign", "name", name, "rastos did not make it; it stays")
    for folder in ("snapshots", "deployments"):
        for name in sorted(os.listdir(store.top / folder)):
            if not name.isdigit() and not name.startswith(".new-"):
                yield Finding("foreign", "name", f"{folder}/{name}", "rastos did not make it; it stays")
    for facts in subvolume.listed(store.top):
        if not _expected(facts.path):
            yield Finding("foreign", "subvolume", facts.path, "rastos did not make this subvolume; it stays")


def _expected(path: str) -> bool:
    parts = Path(path).parts
    if parts[0] == "sessions":
        return True
    if parts[0] == "state":  # what lies below belongs to the system: systemd makes subvolumes in /var itself
        return True
    if len(parts) < 2 or parts[0] not in ("snapshots", "deployments"):
        return False
    if parts[1].startswith(".new-"):
        return True
    # beside a tree lie the /etc and the state kept with it; within a tree or an /etc there is no subvolume
    return parts[1].isdigit() and len(parts) > 2 and (len(parts) == 3 or parts[2] not in ("tree", "etc"))


def mend(store: Store, finding: Finding) -> None:
    """Do what the finding says mending does; opening the store for writing has finished what was unfinished."""
    number = finding.number
    kind = finding.kind
    if kind == "metadata" and number is not None:
        item = salvaged(store, number)
        if item is not None:
            store.update(item)
    elif kind == "no tree" and number is not None:
        (store.snapshot_path(number) / "snapshot.json").unlink(missing_ok=True)
        store.snapshot_path(number).rmdir()
    elif kind == "writable" and number is not None:
        subvolume.set_read_only(store.tree(number), True)
    elif kind == "parent" and number is not None:
        store.update(replace(store.snapshot(number), parent=None, delta=NO_DELTA))
    elif kind == "deployment" and number is not None:
        drop_deployment(store, number)
    elif kind == "record" and number is not None:
        _record(store, number)
    elif kind == "state":
        subvolume.create(store.top / finding.where)
    elif finding.where.startswith("ESP "):
        store.esp.remove(finding.where.removeprefix("ESP "))
    store.sync()


def _record(store: Store, number: int) -> None:
    """A deployment's record told anew from its entry."""
    entry = next(entry for entry in store.entries() if entry.number == number)
    snapshot = _started(_read(store, entry))
    if snapshot is None:
        return
    item = store.snapshot(snapshot)
    known = Deployment(number, snapshot, now(), item.description, item.kernel, "unknown")
    write_json(store.deployment_path(number) / "deployment.json", known.to_json())
