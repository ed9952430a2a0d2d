"""A branch of the tree as changes of many snapshots see it: what stands today, without versions whose place was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from .metadata import Intent, Snapshot
from .packages import PackageSource, installed_in
from .store import Store


@dataclass(frozen=True, slots=True)
class BranchNode:
    """A snapshot of a branch and the one of the branch that it stands on; `passed` are older versions between the two."""

    snapshot: Snapshot
    above: int | None
    passed: tuple[Snapshot, ...] = ()


def branch_of(store: Store, number: int, *, without: Iterable[int] = ()) -> tuple[BranchNode, ...]:
    """A snapshot and what stands on it, parents first. Left out: `without` and what is below, and versions whose place
    was taken: what stands on such a one stands on what that one stood on. UserError: there is no such snapshot."""
    every = {item.id: item for item in store.snapshots()}
    children = _children(every)
    taken = {item.succeeds for item in every.values()}
    found: list[BranchNode] = []
    waiting = [BranchNode(store.snapshot(number), None)]
    seen = set(without)
    while waiting:
        node = waiting.pop(0)
        if node.snapshot.id in seen:
            continue
        seen.add(node.snapshot.id)
        old = node.snapshot.id in taken and found
        if not old:
            found.append(node)
        above = node.above if old else node.snapshot.id
        passed = (*node.passed, node.snapshot) if old else ()
        waiting += [BranchNode(every[child], above, passed) for child in children.get(node.snapshot.id, ())]
    return tuple(found)


def below(store: Store, number: int) -> frozenset[int]:
    """The ids of a snapshot and of all that stands on it, older versions too."""
    children = _children({item.id: item for item in store.snapshots()})
    found: set[int] = set()
    waiting = [number]
    while waiting:
        item = waiting.pop()
        if item not in found:
            found.add(item)
            waiting += children.get(item, ())
    return frozenset(found)


def line_of(store: Store, item: Snapshot) -> tuple[Snapshot, ...]:
    """What a snapshot stands on, the nearest first."""
    every = {node.id: node for node in store.snapshots()}
    found: list[Snapshot] = []
    place = item.parent
    while place is not None and place in every and every[place] not in found:
        found.append(every[place])
        place = every[place].parent
    return tuple(found)


def successors(store: Store, item: Snapshot) -> tuple[Snapshot, ...]:
    """Those that took its place one after the other, the newest last."""
    found: list[Snapshot] = []
    every = store.snapshots()
    place: int | None = item.id
    while place is not None:
        later = [node for node in every if node.succeeds == place and node not in found][-1:]
        place = later[0].id if later else None
        found += later
    return tuple(found)


def intent_of(store: Store, node: BranchNode, source: PackageSource) -> Intent:
    """What was asked of a snapshot beyond the one it stands on; where nobody wrote it down, what its packages tell."""
    return reduce(Intent.then, [_own_intent(store, item, source) for item in (*node.passed, node.snapshot)])


def _own_intent(store: Store, item: Snapshot, source: PackageSource) -> Intent:
    if item.intent or item.parent is None or not store.tree(item.parent).is_dir():
        return item.intent
    before, there = (installed_in(store.tree(number), source.cache) for number in (item.parent, item.id))
    install = sorted(name for name, record in there.items() if name not in before and record.reason == "explicit")
    remove = sorted(name for name in before if name not in there)
    return Intent(tuple(install), tuple(remove), files=True)


def _children(every: Mapping[int, Snapshot]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for item in sorted(every.values(), key=lambda node: node.id):
        if item.parent is not None:
            found.setdefault(item.parent, []).append(item.id)
    return found
