"""Rollback is a deploy of an older snapshot: same protocol, same commit point, the tree stays as it is."""

from __future__ import annotations

from typing import Any

from rastos.errors import UserError

from .deployment import DeployPlan, plan_deploy
from .store import Store
from .verdicts import bad_snapshots


def plan_rollback(store: Store, to: int | str | None = None, *, etc: str = "merge", **options: Any) -> DeployPlan:
    """Plan going back to `to`, by default to the snapshot that was deployed before the current one and not found bad.

    `options` are those of plan_deploy. Raises UserError where there is nothing to go back to.
    """
    current = store.current()
    if to is not None:
        return plan_deploy(store, store.snapshot(to).id, etc=etc, **options)
    if current is None:
        raise UserError(
            "nothing is deployed, so there is nothing to go back to", next_step="`rastos snapshot deploy ID`"
        )
    bad = bad_snapshots(store)
    there = {item.id for item in store.snapshots()} - bad.keys()
    before = [
        item.snapshot
        for item in store.deployments()
        if item.number < current.number and item.snapshot != current.snapshot and item.snapshot in there
    ]
    if not before:
        raise UserError(
            f"nothing to go back to: snapshot {current.snapshot} is the only one deployed so far"
            + (f" that was not found bad ({', '.join(map(str, bad))})" if bad else ""),
            next_step="name a snapshot: `rastos snapshot rollback ID`; `rastos snapshot tree` shows them",
        )
    return plan_deploy(store, before[-1], etc=etc, **options)
