"""Deleting a snapshot, with the deployments that start it; never the one that boots next or the last good one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from rastos.errors import UserError
from rastos.host import faults

from .recovery import collect, drop_deployment, drop_folder, kernels_wanted
from .store import Store


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """What goes: the snapshot and its deployments; its children get its parent."""

    snapshot: int
    description: str
    deployments: tuple[int, ...]
    children: tuple[int, ...]
    new_parent: int | None


def plan_delete(store: Store, snapshot_id: int) -> DeletePlan:
    """Work it out. Raises UserError where the snapshot is needed to boot."""
    snapshot = store.snapshot(snapshot_id)
    current = store.current()
    if current is not None and current.snapshot == snapshot.id:
        raise UserError(
            f"snapshot {snapshot.id} boots next (deployment {current.number})",
            next_step="deploy another snapshot first",
        )
    mine = {item.number for item in store.deployments() if item.snapshot == snapshot.id}
    good = [entry.number for entry in store.entries() if entry.state == "good"]
    if good and max(good) in mine:
        raise UserError(
            f"snapshot {snapshot.id} is the last one known to boot well (deployment {max(good)})",
            next_step="boot the newer deployment once, then delete this one",
        )
    children = tuple(item.id for item in store.snapshots() if item.parent == snapshot.id)
    return DeletePlan(snapshot.id, snapshot.description, tuple(sorted(mine)), children, snapshot.parent)


def delete(store: Store, plan: DeletePlan) -> None:
    """Carry it out. A snapshot that is half gone is never visible: it loses its name first."""
    intent = store.journal.begin("delete", snapshot=plan.snapshot)
    for number in plan.deployments:
        drop_deployment(store, number)
        faults.reached("delete.deployment")
    for child in plan.children:
        moved = replace(store.snapshot(child), parent=plan.new_parent)
        store.update(moved)
    going = store.top / "snapshots" / f".new-{plan.snapshot}"  # recovery removes what has this name
    os.rename(store.snapshot_path(plan.snapshot), going)
    store.sync()
    faults.reached("delete.hidden")
    drop_folder(going)
    if plan.deployments:
        collect(store, keep_kernels=kernels_wanted(store))
    store.sync()
    intent.close()
