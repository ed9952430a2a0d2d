"""The snapshots as a tree of values; how it looks is the command line's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .metadata import Deployment, Snapshot


@dataclass(frozen=True, slots=True)
class Node:
    """A snapshot, the ids of its children, the deployments that start it, and what it is: booted, next, pinned …"""

    snapshot: Snapshot
    children: tuple[int, ...]
    deployments: tuple[int, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """All nodes by id, and the ids of those without a parent. Flat, so that no depth is too deep."""

    nodes: Mapping[int, Node]
    roots: tuple[int, ...]


def grow(
    snapshots: Iterable[Snapshot],
    deployments: Iterable[Deployment] = (),
    marks: Mapping[str, Iterable[int]] | None = None,
) -> Tree:
    """The tree; a snapshot whose parent is gone is a root, and so is the first one of a circle.

    `marks`: a word (booted, next, good …) → the snapshots it is said of. Linear in the number of snapshots.
    """
    every = {item.id: item for item in snapshots}
    parents = _without_circles({item.id: item.parent if item.parent in every else None for item in every.values()})
    below: dict[int | None, list[int]] = {}
    for number in sorted(every):
        below.setdefault(parents[number], []).append(number)
    started: dict[int, list[int]] = {}
    for deployment in deployments:
        started.setdefault(deployment.snapshot, []).append(deployment.number)
    said: dict[int, list[str]] = {}
    for word, numbers in (marks or {}).items():
        for marked in numbers:
            said.setdefault(marked, []).append(word)
    nodes = {
        number: Node(
            item,
            tuple(below.get(number, ())),
            tuple(sorted(started.get(number, ()))),
            (*said.get(number, ()), *(("pinned",) if item.pinned else ())),
        )
        for number, item in every.items()
    }
    return Tree(nodes, tuple(below.get(None, ())))


def _without_circles(parents: dict[int, int | None]) -> dict[int, int | None]:
    """Cut each circle at its smallest id: only an edit by hand can make one."""
    whole: set[int] = set()
    for start in sorted(parents):
        path: list[int] = []
        on_path: set[int] = set()
        number: int | None = start
        while number is not None and number not in whole and number not in on_path:
            path.append(number)
            on_path.add(number)
            number = parents[number]
        if number is not None and number in on_path:
            parents[min(path[path.index(number) :])] = None
        whole.update(path)
    return parents


def circles(snapshots: Iterable[Snapshot]) -> tuple[int, ...]:
    """Snapshots at which a circle of parents was cut: there is none unless metadata was edited by hand."""
    every = {item.id: item for item in snapshots}
    before = {item.id: item.parent if item.parent in every else None for item in every.values()}
    after = _without_circles(dict(before))
    return tuple(number for number in sorted(before) if before[number] != after[number])


def descendants(snapshots: Iterable[Snapshot], number: int) -> tuple[Snapshot, ...]:
    """All below a snapshot, each after its parent."""
    tree = grow(snapshots)
    found: list[Snapshot] = []
    waiting = list(tree.nodes[number].children[::-1]) if number in tree.nodes else []
    while waiting:
        node = tree.nodes[waiting.pop()]
        found.append(node.snapshot)
        waiting += node.children[::-1]
    return tuple(found)


def ancestors(snapshots: Iterable[Snapshot], number: int) -> tuple[Snapshot, ...]:
    """The line from the root down to a snapshot, with it at the end."""
    every = {item.id: item for item in snapshots}
    line: list[Snapshot] = []
    seen: set[int] = set()
    at: int | None = number
    while at is not None and at in every and at not in seen:
        seen.add(at)
        line.append(every[at])
        at = every[at].parent
    return tuple(line[::-1])
