"""Retention: which snapshots a schedule keeps and drops, each with its reason, and the dropping of them.

What runs, boots next, booted well last, is pinned or is worked on always stays. The rest follows the schedule of its branch:
the part of the tree below a snapshot that has one, else its whole tree. If too little space is free after that, further ones
go, the oldest first; the newest of each branch stays in any case.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rastos.progress import Progress

from . import subvolume
from .metadata import Snapshot
from .protection import foreign_inside, protected, proven
from .removal import DeletePlan, delete, removal_of
from .schedule import Rules, Schedule, kept_by
from .sizes import Sizes
from .store import Store

CLEANER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a snapshot stays, and why; `branch`: the snapshot at the top of the part it was judged with."""

    snapshot: int
    created: str
    name: str
    description: str
    branch: int
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What goes, with the verdict on every snapshot. Bytes: free now, wanted free, and certain to become free.

    `spare`: what may go beyond that, the oldest first, if there is still too little space once the rest is gone.
    """

    verdicts: tuple[Verdict, ...]
    removal: DeletePlan
    free: int
    wanted: int
    freed: int
    spare: tuple[int, ...]


def plan_prune(store: Store, schedule: Schedule, sizes: Mapping[int, Sizes] | None = None) -> PrunePlan:
    """Judge every snapshot. `sizes` tell how much would become free. Raises UserError for a branch that isn't there."""
    every = store.snapshots()
    stays = foreign_inside(store) | protected(store, every)
    rules, heads = _branches(store, schedule, every)
    good = proven(store, every)
    groups: dict[int, list[Snapshot]] = {}
    for item in every:
        groups.setdefault(heads[item.id], []).append(item)
    why: dict[int, tuple[str, ...]] = {}
    for head, members in groups.items():
        # a schedule for some branches only says nothing of the others
        unsaid = {item.id: ("the schedule is not for it",) for item in members}
        why.update(kept_by(rules[head], members, good) if rules[head] else unsaid)
    verdicts = []
    for item in every:
        reasons = (*((f"it {stays[item.id]}",) if item.id in stays else ()), *why.get(item.id, ()))
        verdicts.append(
            Verdict(
                item.id,
                item.created,
                item.name,
                item.description,
                heads[item.id],
                bool(reasons),
                reasons or ("no rule keeps it",),
            )
        )
    going = [item.snapshot for item in verdicts if not item.keep]
    free, whole = _space(store)
    wanted = schedule.floor.bytes(whole)
    newest = {max(item.id for item in members) for members in groups.values()}
    spare = [item.id for item in every if item.id not in stays and item.id not in newest and item.id not in going]
    freed = sum(sizes[number].exclusive for number in going if number in sizes) if sizes else 0
    return PrunePlan(
        tuple(verdicts),
        removal_of(store, every, going),
        free,
        wanted,
        freed,
        tuple(spare) if free + freed < wanted else (),
    )


def _branches(store: Store, schedule: Schedule, every: Sequence[Snapshot]) -> tuple[dict[int, Rules], dict[int, int]]:
    """Rules by branch head, and each snapshot's head."""
    named = {store.snapshot(reference).id: rules for reference, rules in schedule.branches}
    parents = {item.id: item.parent for item in every}
    heads: dict[int, int] = {}
    for item in every:
        path: list[int] = []
        at = item.id
        while at not in heads:
            path.append(at)
            above = parents[at]
            if at in named or above is None or above not in parents or above in path:
                heads[at] = at
                break
            at = above
        for number in path:
            heads[number] = heads[at]
    return {head: named.get(head, schedule.rules) for head in set(heads.values())}, heads


def prune(store: Store, plan: PrunePlan, progress: Progress) -> tuple[int, ...]:
    """Carry a plan out: subvolume, metadata, deployment, boot entry and kernel go together. Returns what went."""
    gone: list[int] = []
    with progress.step(f"Deleting {len(plan.removal.snapshots)} snapshots") as step:
        if plan.removal.snapshots:
            delete(store, plan.removal)
            gone += plan.removal.snapshots
        if plan.spare:
            _wait_for_space(store, plan.wanted)
        for number in plan.spare:
            free, _ = _space(store)
            if free >= plan.wanted:
                break
            step.note(f"{free >> 20} MiB are free, {plan.wanted >> 20} wanted: snapshot {number} goes too")
            delete(store, removal_of(store, store.snapshots(), [number]))
            gone.append(number)
            _wait_for_space(store, plan.wanted)
        free, _ = _space(store)
        if free < plan.wanted:
            step.note(f"{free >> 20} MiB are free, {plan.wanted >> 20} were wanted; the rest has to stay", "warning")
        step.outcome = f"{len(gone)} gone, {free >> 20} MiB free"
    return tuple(gone)


def _space(store: Store) -> tuple[int, int]:
    """(free, all) in bytes."""
    found = os.statvfs(store.top)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _wait_for_space(store: Store, wanted: int) -> None:
    """Deleted subvolumes are freed in the background: until that is done, free space says too little."""
    deadline = time.monotonic() + CLEANER_SECONDS
    while time.monotonic() < deadline:
        store.sync()
        if _space(store)[0] >= wanted or not subvolume.being_deleted(store.top):
            return
        time.sleep(0.2)
