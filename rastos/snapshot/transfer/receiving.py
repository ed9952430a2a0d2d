"""Receiving: a stream becomes a snapshot when all of it is here, signed by somebody trusted, and looked through.

    chunks ─▶ receiving/<stream>/ ─▶ index and signature ─▶ .new-<id>/tree by btrfs receive ─▶ manifest ─▶ one rename

A file that can be read twice is not copied first. The subvolume is received where it stays, so that it keeps the UUID it was sent
as, and the next one can be sent as a difference to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from rastos.errors import UserError
from rastos.host import faults, write_json
from rastos.progress import Progress, Step

from .. import subvolume
from ..kernels import kernel_release
from ..metadata import Delta, Snapshot, delta_between
from ..signing import Trust
from ..store import Store, package_digest, package_names
from ..verify.record import record_received
from ..verify.repair import replace_tree
from .container import Header, damaged, read_parts
from .feeding import feed
from .gathering import announced, whole_stream
from .incoming import Incoming, read_header
from .spool import Spool
from .stream import NAME, Scanner


@dataclass(frozen=True, slots=True)
class Received:
    """A snapshot that came, or (`new` false) was here already. `signer`: a fingerprint or ""."""

    snapshot: Snapshot
    new: bool
    signer: str = ""
    notes: tuple[str, ...] = ()


def receive(store: Store, source: IO[bytes], trust: Trust, progress: Progress) -> tuple[Received, ...]:
    """Take every snapshot of a stream. What came whole before a cut is kept for the next time.

    IntegrityError: damaged, not signed by a trusted key, or refused; Truncated: cut off. UserError: its base isn't here.
    """
    found = []
    while (one := _receive_one(store, source, trust, progress)) is not None:
        found.append(one)
    if not found:
        raise UserError("nothing came: the stream is empty", next_step="look at what the sending side said")
    return tuple(found)


def receive_directly(
    store: Store, header: Header, stream: Iterator[bytes], progress: Progress, *, version: int = 1
) -> Received:
    """Take a snapshot from another store of this process: nothing can have changed it on the way. `version` of the stream."""
    coming = read_header(header)
    there = _there(store, coming)
    if there is not None:
        return Received(there, False)
    _need_base(store, coming)
    with progress.step(f"Receiving {coming.label}", unit="bytes") as step:
        return _publish(store, coming, stream, "", True, step, version)


def replace_by_stream(store: Store, number: int, source: IO[bytes], trust: Trust, progress: Progress) -> Received:
    """Give a damaged snapshot the tree that a stream of it brings. UserError: it is another snapshot's stream."""
    snapshot = store.snapshot(number)
    start = source.tell() if source.seekable() else None
    parts = read_parts(source)
    coming = announced(parts)
    if coming is None or coming.snapshot.uuid != snapshot.uuid:
        raise UserError(
            f"this is not a stream of snapshot {number}",
            on=coming.label if coming else "",
            next_step="send it from a machine that has it: rastos snapshot send ID -o FILE",
        )
    _need_base(store, coming)
    with progress.step(f"Replacing the tree of snapshot {number}", unit="bytes") as step:
        spool = Spool(store.top, coming.stream, coming.base)
        with whole_stream(source, start, parts, coming, spool, trust, step) as (stream, signer):

            def build(folder: Path) -> None:
                feed(stream, folder, Scanner(coming.stream, coming.base, devices=bool(signer)), step)

            replace_tree(store, number, build)
    return Received(snapshot, False, signer)


def _receive_one(store: Store, source: IO[bytes], trust: Trust, progress: Progress) -> Received | None:
    start = source.tell() if source.seekable() else None
    parts = read_parts(source)
    coming = announced(parts)
    if coming is None:
        return None
    spool = Spool(store.top, coming.stream, coming.base)
    there = _there(store, coming)
    if there is not None:
        for _ in parts:
            pass
        spool.drop()
        return Received(there, False)
    _need_base(store, coming)
    with (
        progress.step(f"Receiving {coming.label}", unit="bytes") as step,
        whole_stream(source, start, parts, coming, spool, trust, step) as (stream, signer),
    ):
        return _publish(store, coming, stream, signer, bool(signer), step)


def _there(store: Store, coming: Incoming) -> Snapshot | None:
    return next((item for item in store.snapshots() if item.uuid == coming.snapshot.uuid), None)


def _need_base(store: Store, coming: Incoming) -> None:
    if not coming.base:
        return
    for item in store.snapshots():
        own = subvolume.identities(store.tree(item.id))
        if coming.base in (own.uuid, own.received):
            return
    known = next((item for item in store.snapshots() if item.uuid == coming.base_snapshot), None)
    what = f"snapshot {known.id} is, but its tree was made anew" if known else "it is not"
    raise UserError(
        f"the stream is a difference to a snapshot that has to be here; {what}",
        on=coming.base_snapshot or coming.base,
        next_step="send that one first, or this one whole: rastos snapshot send ID without --parent",
    )


def _publish(
    store: Store,
    coming: Incoming,
    stream: Iterator[bytes],
    signer: str,
    trusted: bool,
    step: Step,
    version: int = 1,
) -> Received:
    number = store.take_number("snapshot")
    building = store.top / "snapshots" / f".new-{number}"
    building.mkdir()
    faults.reached("receive.started")
    try:
        feed(stream, building, Scanner(coming.stream, coming.base, devices=trusted, version=version), step)
        faults.reached("receive.received")
        tree = building / NAME
        if sorted(os.listdir(building)) != [NAME] or subvolume.identities(tree).received != coming.stream:
            raise damaged("what arrived is not the subvolume that was announced")
        notes = []
        if record_received(building, coming.snapshot.uuid, coming.manifest):
            notes.append("every path is as its manifest says")
        snapshot, more = _described(store, coming, number, tree, trusted=trusted)
        write_json(building / "snapshot.json", snapshot.to_json())
        store.sync()  # the files' content, before the snapshot can be seen
        faults.reached("receive.described")
        os.rename(building, store.snapshot_path(number))
    except BaseException:
        subvolume.drop_folder(building)
        raise
    store.sync()
    faults.reached("receive.committed")
    step.outcome = f"snapshot {number}"
    return Received(snapshot, True, signer, (*notes, *more))


def _described(
    store: Store, coming: Incoming, number: int, tree: Path, *, trusted: bool
) -> tuple[Snapshot, tuple[str, ...]]:
    """Its record here: facts are read from the tree, ids are this store's, words are the sender's."""
    notes = []
    every = store.snapshots()
    parent = next((item for item in every if item.uuid == coming.parent), None)
    if parent is None and coming.parent:
        notes.append("its parent is not here: it is a root of the tree")
    name = coming.snapshot.name
    if name and any(item.name == name for item in every):
        notes.append(f"the name '{name}' is taken here: it has none")
        name = ""
    packages = package_names(tree)
    before = package_names(store.tree(parent.id)) if parent else {}
    intent = coming.snapshot.intent if trusted else replace(coming.snapshot.intent, commands=())
    snapshot = replace(
        coming.snapshot,
        id=number,
        parent=parent.id if parent else None,
        name=name,
        kernel=kernel_release(tree),
        packages=len(packages),
        package_digest=package_digest(packages),
        delta=delta_between(before, packages) if parent else Delta(),
        intent=intent,
    )
    return snapshot, tuple(notes)
