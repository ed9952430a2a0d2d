"""Changing a tree in a folder all at once: work on a writable snapshot beside it, then swap the two names in one step.

For a root folder that is a btrfs subvolume. Beside it lies `.<name>.rastos/` (only root may enter: old trees have old setuid
programs) with

    lock            held by whoever changes the tree
    journal/        the swap that is under way
    new             the copy that is worked on
    <number>        the tree as it was before change <number> of its history, read-only

Whether a swap happened is decided by one thing: whether the root is the subvolume that was made for it (its UUID).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import Journal, exchange, faults, locked, mount_points

from . import subvolume

KEEP = 5  # old trees that stay for undo


@dataclass(frozen=True)
class SwapPlace:
    """The folder beside a root; whoever has one from `opened_place` holds its lock."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where the copy and the old trees lie."""
        return self.root.parent / f".{self.root.name}.rastos"

    @property
    def work(self) -> Path:
        """The copy that is worked on."""
        return self.folder / "new"

    @property
    def journal(self) -> Journal:
        """The swap under way."""
        return Journal(self.folder / "journal")

    def kept(self) -> dict[int, Path]:
        """Old trees by the number of the change they were before, oldest first."""
        if not self.folder.is_dir():
            return {}
        numbers = sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())
        return {number: self.folder / str(number) for number in numbers}


def why_not_swapped(root: Path) -> str:
    """Why a tree can only be changed in place; "" where it can be swapped."""
    root = root.resolve()
    if root == Path("/") or not root.is_dir():
        return "it is the running system" if root == Path("/") else "it is not there yet"
    if not subvolume.is_btrfs_subvolume(root):
        return "it is not a btrfs subvolume"
    if root in mount_points(root):
        return "something is mounted on it: a mount point can't be swapped"
    return ""


@contextmanager
def opened_place(root: Path, purpose: str) -> Iterator[SwapPlace]:
    """The place beside a root that `why_not_swapped` has nothing against, locked; a swap that died is settled first.

    BusyError: somebody else changes this tree. UserError: it can't be copied as it is.
    """
    place = SwapPlace(root.resolve())
    inside = mount_points(place.root)
    if inside:
        raise UserError(
            f"something is mounted inside the tree: {inside[0]}",
            on=place.root,
            next_step="unmount it; a copy of the tree would not have it",
        )
    if subvolume.is_read_only(place.root):
        raise UserError(
            "the tree is a read-only subvolume",
            on=place.root,
            next_step=f"allow changes: btrfs property set {place.root} ro false",
        )
    place.folder.mkdir(mode=0o700, exist_ok=True)
    with locked(place.folder / "lock", purpose):
        settle(place)
        yield place


@contextmanager
def changed_tree(place: SwapPlace, number: int, *, source: Path | None = None, keep: int = KEEP) -> Iterator[Path]:
    """A writable copy of the root (or of `source`, an old tree); left without an error, it is the root.

    Subvolumes nested in the tree are copied with it. The root of before is kept under `number`, with the `keep` newest of
    its kind. Any error leaves the root as it is and no copy.
    """
    intent = place.journal.begin("swap", number=number)
    try:
        faults.reached("swap.journaled")
        subvolume.snapshot(source or place.root, place.work, recursive=True)
        intent.record("made", uuid=subvolume.identity(place.work))
        faults.reached("swap.made")
        yield place.work
        faults.reached("swap.changed")
        subvolume.sync(place.work)
        faults.reached("swap.synced")
        exchange(place.work, place.root)  # the commit point
        faults.reached("swap.exchanged")
        subvolume.sync(place.root)
        faults.reached("swap.durable")
    finally:
        settle(place)
    for old in sorted(place.kept().items())[: -keep or None]:
        subvolume.delete(old[1])


def settle(place: SwapPlace) -> None:
    """Finish or undo whatever swap the journal holds, by looking at which subvolume the root is."""
    intents = place.journal.open_intents()
    for intent in intents:
        made = [detail["uuid"] for step, detail in intent.records if step == "made"]
        if made and subvolume.identity(place.root) == made[-1]:
            _keep(place, int(intent.detail["number"]))
    if place.work.exists():
        subvolume.delete(place.work)
        faults.reached("swap.dropped")
    for intent in intents:
        intent.close()


def _keep(place: SwapPlace, number: int) -> None:
    """The work copy's name is now the old tree's: give it its own."""
    target = place.folder / str(number)
    if place.work.exists():
        subvolume.delete(target)  # of a history that was lost
        os.rename(place.work, target)
        faults.reached("swap.renamed")
    if target.exists():
        subvolume.set_read_only(target, True)
        faults.reached("swap.kept")
