"""Rollback is a deploy of an older snapshot: same protocol, same commit point, the tree stays as it is."""

from __future__ import annotations

from rastos.errors import UserError

from .deployment import DeployPlan, plan_deploy
from .store import Store


def plan_rollback(store: Store, to: int | str | None = None, *, etc: str = "merge", kernel: str = "") -> DeployPlan:
    """Plan going back to `to`, by default to the snapshot that booted before the current one.

    Raises UserError where there is nothing to go back to.
    """
    current = store.current()
    if to is not None:
        return plan_deploy(store, store.snapshot(to).id, etc=etc, kernel=kernel)
    if current is None:
        raise UserError(
            "nothing is deployed, so there is nothing to go back to", next_step="`rastos snapshot deploy ID`"
        )
    there = {item.id for item in store.snapshots()}
    before = [
        item.snapshot
        for item in store.deployments()
        if item.number < current.number and item.snapshot != current.snapshot and item.snapshot in there
    ]
    if not before:
        raise UserError(
            f"nothing to go back to: snapshot {current.snapshot} is the only one deployed so far",
            next_step="name a snapshot: `rastos snapshot rollback ID`; `rastos snapshot tree` shows them",
        )
    return plan_deploy(store, before[-1], etc=etc, kernel=kernel)
