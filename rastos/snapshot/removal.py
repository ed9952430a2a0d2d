"""Deleting snapshots, with the deployments that start them; never what runs, boots next, booted well last or is pinned.

A delete that was begun is finished by the next command: its journal says all that is to be done, and every step of it may
be done twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rastos.errors import UserError
from rastos.host import faults

from . import subvolume
from .metadata import NO_DELTA, Snapshot, delta_between
from .protection import foreign_inside, protected
from .recovery import collect, drop_deployment, kernels_wanted
from .store import Store, package_names
from .tree import descendants


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """What goes: snapshots and their deployments. `moved`: children that stay, with their new parent."""

    snapshots: tuple[int, ...]
    descriptions: tuple[str, ...]
    deployments: tuple[int, ...]
    moved: tuple[Snapshot, ...]


def plan_delete(store: Store, *snapshots: int, below: bool = False) -> DeletePlan:
    """Work it out for these snapshots; `below`: with all their descendants.

    Raises UserError where one of them must stay, saying why.
    """
    every = store.snapshots()
    wanted = list(dict.fromkeys(store.snapshot(number).id for number in snapshots))
    if below:
        wanted += [item.id for number in wanted for item in descendants(every, number)]
    stays = foreign_inside(store) | protected(store, every)
    for number in wanted:
        if number in stays:
            raise UserError(
                f"snapshot {number} {stays[number]}, so it stays",
                next_step=_way_out(number, stays[number]),
            )
    return removal_of(store, every, wanted)


def removal_of(store: Store, every: Sequence[Snapshot], wanted: Iterable[int]) -> DeletePlan:
    """The plan for snapshots that may go: children that stay get the nearest ancestor that stays."""
    going = set(wanted)
    known = {item.id: item for item in every}
    moved = tuple(_moved(store, item, known, going) for item in every if item.id not in going and item.parent in going)
    order = sorted(going)
    deployments = tuple(sorted(item.number for item in store.readable_deployments() if item.snapshot in going))
    return DeletePlan(tuple(order), tuple(known[number].description for number in order), deployments, moved)


def _moved(store: Store, item: Snapshot, known: Mapping[int, Snapshot], going: set[int]) -> Snapshot:
    intent, parent = item.intent, item.parent
    seen: set[int] = set()
    while parent in going and parent in known and parent not in seen:
        seen.add(parent)
        intent = known[parent].intent.then(intent)
        parent = known[parent].parent
    if parent is None or parent not in known or parent in going:
        return replace(item, parent=None, delta=NO_DELTA, intent=intent)
    delta = delta_between(package_names(store.tree(parent)), package_names(store.tree(item.id)))
    return replace(item, parent=parent, delta=delta, intent=intent)


def _way_out(number: int, why: str) -> str:
    if "pinned" in why:
        return f"take the pin out first: rastos snapshot unpin {number}"
    if "did not make" in why:
        return "move what is in it elsewhere and delete it with `btrfs subvolume delete`"
    if "session" in why:
        return "commit or discard the session first"
    if "boots next" in why:
        return "deploy another snapshot first"
    if "is running" in why:
        return "reboot into another snapshot first"
    return "boot the newer deployment once, then delete this one"


def delete(store: Store, plan: DeletePlan) -> None:
    """Carry it out. A snapshot that is half gone is never visible: it loses its name first."""
    intent = store.journal.begin(
        "delete",
        snapshots=list(plan.snapshots),
        deployments=list(plan.deployments),
        moved=[item.to_json() for item in plan.moved],
    )
    faults.reached("delete.journaled")
    _carry_out(store, plan.snapshots, plan.deployments, plan.moved)
    store.sync()  # what was given up is gone for good before the journal forgets it
    intent.close()


def resume(store: Store, detail: Mapping[str, Any]) -> None:
    """Finish a delete that a dead command had begun; what must stay by now stays."""
    stays = protected(store, ())
    snapshots = [int(number) for number in detail.get("snapshots", ()) if int(number) not in stays]
    gone = {int(number) for number in detail.get("snapshots", ())}
    kept = {item.number for item in store.readable_deployments() if item.snapshot in gone - set(snapshots)}
    deployments = [int(number) for number in detail.get("deployments", ()) if int(number) not in kept]
    moved = [Snapshot.from_json(item) for item in detail.get("moved", ())] if len(snapshots) == len(gone) else []
    _carry_out(store, snapshots, deployments, moved)


def _carry_out(store: Store, snapshots: Sequence[int], deployments: Sequence[int], moved: Sequence[Snapshot]) -> None:
    for number in deployments:
        drop_deployment(store, number)
        faults.reached("delete.deployment")
    for number in snapshots:
        if store.snapshot_path(number).is_dir():
            # recovery removes what has this name
            os.rename(store.snapshot_path(number), store.top / "snapshots" / f".new-{number}")
    store.sync()
    faults.reached("delete.hidden")
    for child in moved:
        if (store.snapshot_path(child.id) / "tree").is_dir():
            store.update(child)
            faults.reached("delete.moved")
    for number in snapshots:
        going = store.top / "snapshots" / f".new-{number}"
        if going.is_dir():
            subvolume.drop_folder(going)
            faults.reached("delete.removed")
    if deployments:
        collect(store, keep_kernels=kernels_wanted(store))
    store.sync()
