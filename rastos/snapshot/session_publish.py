"""Making finished trees part of the tree of snapshots: described, read-only, then shown; several of them together.

Together means: one commit record, the journal's intent. Before it is durable none of them exists; after it all do, because
recovery goes on from it. Each is shown by one rename of its folder, and a name moves by being given before it is taken.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rastos.host import faults, write_json

from . import subvolume
from .kernels import kernel_release
from .metadata import Delta, Intent, Snapshot, delta_between, now
from .state_contract import read_stamps
from .store import Store, package_digest, package_names

DESCRIPTION = "snapshot.json"
OPERATION = "publish"


def describe(
    folder: Path,
    number: int,
    *,
    parent: int | None,
    beside: Path | None,
    description: str,
    name: str = "",
    tags: tuple[str, ...] = (),
    intent: Intent | None = None,
    succeeds: Snapshot | None = None,
) -> Snapshot:
    """Make the tree in a folder read-only and write down what it is. `beside`: the parent's tree, for the delta.

    `succeeds`: the snapshot whose place it takes; its note and its pin come along.
    """
    tree = folder / "tree"
    subvolume.set_read_only(tree, True)
    packages = package_names(tree)
    snapshot = Snapshot(
        id=number,
        uuid=str(uuid.uuid4()),
        parent=parent,
        created=now(),
        description=" ".join(description.split()),
        name=name,
        tags=tags,
        kernel=kernel_release(tree),
        packages=len(packages),
        package_digest=package_digest(packages),
        delta=delta_between(package_names(beside), packages) if beside is not None else Delta(),
        intent=intent or Intent(),
        stamps=read_stamps(tree),
        note=succeeds.note if succeeds else "",
        pinned=succeeds.pinned if succeeds else False,
        succeeds=succeeds.id if succeeds else None,
    )
    write_json(folder / DESCRIPTION, snapshot.to_json())
    return snapshot


def publish(store: Store, folders: Mapping[int, Path], successors: Sequence[tuple[int, int]]) -> None:
    """Show described snapshots (id: its folder), all or none. `successors` (old, new): names, tags and pins move."""
    for old, new in successors:
        _hand_over(store, old, folders[new])
    store.sync()  # what the record promises is on disk before it
    faults.reached("publish.ready")
    places = {str(number): os.fspath(folder.relative_to(store.top)) for number, folder in folders.items()}
    intent = store.journal.begin(OPERATION, snapshots=places, successors=[list(pair) for pair in successors])
    faults.reached("publish.committed")
    finish_publishing(store, intent.detail)
    intent.close()


def finish_publishing(store: Store, detail: Mapping[str, Any]) -> None:
    """Do what a commit record says, whatever of it was done before."""
    for number, place in detail["snapshots"].items():
        target, source = store.snapshot_path(int(number)), store.top / place
        if source.exists() and not target.exists():
            os.rename(source, target)
            faults.reached("publish.shown")
            store.remember(store.recorded(int(number)))
    for old, _new in detail["successors"]:
        if store.snapshot_path(old).is_dir():
            before = store.snapshot(old)
            if before.name or before.tags or before.pinned:
                store.update(replace(before, name="", tags=(), pinned=False))
                faults.reached("publish.renamed")
    store.sync()
    faults.reached("publish.durable")


def _hand_over(store: Store, old: int, folder: Path) -> None:
    """The successor's metadata with its predecessor's name and tags as they are now, besides its own."""
    from rastos.host import read_json

    before, after = store.snapshot(old), Snapshot.from_json(read_json(folder / DESCRIPTION))
    tags = tuple(dict.fromkeys((*before.tags, *after.tags)))
    write_json(folder / DESCRIPTION, replace(after, name=after.name or before.name, tags=tags).to_json())
