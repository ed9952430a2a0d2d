"""Metadata that was lost, told from what is left: the index's last word, else the subvolume itself."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import subvolume
from .index import indexed_snapshot
from .kernels import kernel_release
from .metadata import NO_DELTA, Snapshot, delta_between

if TYPE_CHECKING:
    from .store import Store

LOST = "(metadata lost)"


def salvaged(store: Store, number: int) -> Snapshot | None:
    """As much as can be told of a snapshot without its snapshot.json; None where it has no tree either.

    The index is asked first: it has names, tags and notes. Else the id is the folder's, time and parent are the
    subvolume's (btrfs remembers which subvolume another was copied from), packages and kernel are read in the tree.
    """
    tree = store.tree(number)
    if not tree.is_dir():
        return None
    line = store.index.read().get(number)
    return (indexed_snapshot(line[1], number) if line is not None else None) or from_subvolume(store, number)


def from_subvolume(store: Store, number: int) -> Snapshot:
    """What the subvolume alone tells; its own uuid stands for the one that is lost."""
    from .store import package_digest, package_names

    tree = store.tree(number)
    facts = subvolume.facts(tree)
    parent = _parent(store, number, facts.parent_uuid)
    packages = package_names(tree)
    return Snapshot(
        id=number,
        uuid=str(uuid.UUID(facts.uuid)),
        parent=parent,
        created=datetime.fromtimestamp(facts.made, UTC).isoformat(timespec="seconds"),
        description=LOST,
        kernel=kernel_release(tree),
        packages=len(packages),
        package_digest=package_digest(packages),
        delta=NO_DELTA if parent is None else delta_between(package_names(store.tree(parent)), packages),
    )


def _parent(store: Store, number: int, wanted: str) -> int | None:
    """The snapshot whose tree this one was copied from."""
    for facts in subvolume.listed(store.top) if wanted else ():
        parts = Path(facts.path).parts
        if facts.uuid == wanted and len(parts) == 3 and parts[0] == "snapshots" and parts[2] == "tree":
            return int(parts[1]) if parts[1].isdigit() and int(parts[1]) != number else None
    return None
