"""The snapshots as a tree of values; how it looks is the command line's business."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .metadata import Deployment, Snapshot


@dataclass(frozen=True, slots=True)
class Node:
    """A snapshot, its children by id, and the deployments that start it."""

    snapshot: Snapshot
    children: tuple[Node, ...]
    deployments: tuple[int, ...]
    next: bool


def grow(
    snapshots: Iterable[Snapshot], deployments: Iterable[Deployment], current: Deployment | None
) -> tuple[Node, ...]:
    """The roots of the tree; a snapshot whose parent is gone is a root. Linear in the number of snapshots."""
    every = {item.id: item for item in snapshots}
    below: dict[int | None, list[int]] = {}
    for item in every.values():
        below.setdefault(item.parent if item.parent in every else None, []).append(item.id)
    started: dict[int, list[int]] = {}
    for deployment in deployments:
        started.setdefault(deployment.snapshot, []).append(deployment.number)
    nodes: dict[int, Node] = {}
    # children have larger ids than their parents: from the last to the first, every child is there before its parent
    for number in sorted(every, reverse=True):
        nodes[number] = Node(
            every[number],
            tuple(nodes[child] for child in sorted(below.get(number, ())) if child in nodes),
            tuple(sorted(started.get(number, ()))),
            current is not None and current.snapshot == number,
        )
    return tuple(nodes[number] for number in sorted(below.get(None, ())))
