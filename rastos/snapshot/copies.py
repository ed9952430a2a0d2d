"""Snapshots that are copies of others: a child, a sibling, a new tree, and a whole tree again; and another parent.

A copy is one btrfs call. It is made under a name that nothing reads, described, and then named by a rename.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rastos.errors import UserError
from rastos.host import faults, write_json

from . import subvolume
from .metadata import NO_DELTA, Delta, Intent, Snapshot, delta_between, now
from .references import check_name, check_tag
from .store import Store, explicitly_installed, package_names
from .tree import descendants
from .unfinished import publish


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Copies to be made, parents first: (snapshot copied, place in this list of the new parent or None, parent id)."""

    what: str
    sources: tuple[int, ...]
    parents: tuple[int | None, ...]
    within: tuple[int | None, ...]
    description: str
    name: str
    tags: tuple[str, ...]


def plan_copy(
    store: Store,
    source: int,
    *,
    parent: int | None,
    what: str = "create",
    description: str = "",
    name: str = "",
    tags: Sequence[str] = (),
) -> CopyPlan:
    """One copy of `source` below `parent` (None: the root of a new tree). Raises UserError where a name can't be used."""
    if name:
        check_name(store, name)
    for tag in tags:
        check_tag(tag)
    item = store.snapshot(source)
    text = " ".join(description.split()) or f"copy of {item.id}" + (f": {item.description}" if item.description else "")
    return CopyPlan(what, (item.id,), (parent,), (None,), text, name, tuple(dict.fromkeys(tags)))


def plan_clone_tree(store: Store, source: int, *, name: str = "") -> CopyPlan:
    """A snapshot with all its descendants as a new tree of the same shape. Names stay with the originals."""
    if name:
        check_name(store, name)
    below = descendants(store.snapshots(), source)
    order = (source, *(item.id for item in below))
    place = {number: index for index, number in enumerate(order)}
    within = (None, *(place[item.parent] for item in below if item.parent is not None))
    return CopyPlan("clone-tree", order, (None,) * len(order), within, "", name, ())


def copy_snapshots(store: Store, plan: CopyPlan) -> tuple[Snapshot, ...]:
    """Make the copies: all of them or none. Each is durable and read-only when this returns."""
    intent = store.journal.begin(plan.what, sources=plan.sources) if len(plan.sources) > 1 else None
    made: list[Snapshot] = []
    folders = []
    for index, number in enumerate(plan.sources):
        source = store.snapshot(number)
        within = plan.within[index]
        parent = plan.parents[index] if within is None else made[within].id
        new = store.take_number("snapshot")
        building = store.top / "snapshots" / f".new-{new}"
        building.mkdir()
        folders.append(building)
        subvolume.snapshot(store.tree(number), building / "tree", read_only=True)
        faults.reached("copy.copied")
        delta, asked = (NO_DELTA, Intent()) if within is None else (source.delta, source.intent)
        if within is None and parent is not None and parent != number:
            delta, asked = _relative(store, source, parent)
        item = replace(
            source,
            id=new,
            uuid=str(uuid.uuid4()),
            parent=parent,
            created=now(),
            description=plan.description or source.description,
            name=plan.name if index == 0 else "",
            tags=plan.tags if len(plan.sources) == 1 else source.tags,
            delta=delta,
            intent=asked,
            note="" if len(plan.sources) == 1 else source.note,
            pinned=False,
            origin="",
            proven="",
        )
        write_json(building / "snapshot.json", item.to_json())
        faults.reached("copy.described")
        made.append(item)
    if intent is None:
        os.rename(folders[0], store.snapshot_path(made[0].id))
        store.sync()
        store.remember(made[0])
        faults.reached("copy.committed")
    else:
        publish(store, intent, [item.id for item in made])
        for item in made:
            store.remember(item)
        intent.close()
    return tuple(made)


def create_snapshot(store: Store, base: int, description: str, *, name: str = "", tags: Sequence[str] = ()) -> Snapshot:
    """A child of `base` with the same content, to be changed later or to mark a point."""
    return copy_snapshots(store, plan_copy(store, base, parent=base, description=description, name=name, tags=tags))[0]


@dataclass(frozen=True, slots=True)
class ReparentPlan:
    """A snapshot's new place in the tree; its content stays, what it has more or less than its parent is told anew."""

    snapshot: int
    before: int | None
    parent: int | None
    delta: Delta
    intent: Intent


def plan_reparent(store: Store, snapshot: int, parent: int | None) -> ReparentPlan:
    """Work it out. Raises UserError for a parent that is the snapshot itself or one of its descendants."""
    item = store.snapshot(snapshot)
    if parent is None:
        return ReparentPlan(item.id, item.parent, None, NO_DELTA, Intent())
    if parent == item.id or parent in {below.id for below in descendants(store.snapshots(), item.id)}:
        kind = "itself" if parent == item.id else "one of its descendants"
        raise UserError(
            f"snapshot {item.id} can't become a child of {parent}: that is {kind}",
            next_step=f"move {parent} away first: rastos snapshot reparent {parent} OTHER"
            if parent != item.id
            else "name another parent",
        )
    delta, intent = _relative(store, item, store.snapshot(parent).id)
    return ReparentPlan(item.id, item.parent, parent, delta, intent)


def reparent(store: Store, plan: ReparentPlan) -> Snapshot:
    """Carry it out: one file is replaced."""
    item = replace(store.snapshot(plan.snapshot), parent=plan.parent, delta=plan.delta, intent=plan.intent)
    store.update(item)
    store.sync()
    return item


def _relative(store: Store, item: Snapshot, parent: int) -> tuple[Delta, Intent]:
    """What a snapshot is when seen from another parent; its commands are asked again as before."""
    tree = store.tree(item.id)
    delta = delta_between(package_names(store.tree(parent)), package_names(tree))
    intent = replace(item.intent, install=explicitly_installed(tree, delta.added), remove=delta.removed)
    return delta, intent
