"""A system on the same btrfs that rastos did not make: its subvolumes found, copied into the store, and dropped.

Copies share their data with the originals, and the originals are never written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from . import subvolume
from .copying import copy_attributes, copy_missing
from .orphans import OURS
from .store import STATE, Store


def foreign_subvolumes(top: Path) -> tuple[str, ...]:
    """Paths of the subvolumes that belong to no store, from the top level. Needs root."""
    found = (item.path for item in subvolume.listed(top))
    return tuple(sorted(path for path in found if path.split("/")[0] not in OURS))


def is_foreign_root(top: Path, path: str) -> bool:
    """Whether a subvolume holds a system ("": the top level itself)."""
    place = top / path
    return place.is_dir() and (place / "etc/fstab").is_file() and (place / "usr/lib").is_dir()


def copy_foreign(top: Path, path: str, target: Path) -> None:
    """A writable copy of a subvolume ("": the top level), without what is nested in it."""
    subvolume.snapshot(top / path, target)


def fill_state(store: Store, tree: Path, foreign: Mapping[str, str]) -> None:
    """Make the state of a store that of a foreign system: from its tree, and from subvolumes it mounts (path → subvolume).

    A subvolume for the whole of a state folder is taken as it is; one below is copied into it, sharing its data.
    """
    for name in STATE:
        place = store.top / "state" / name
        if name in foreign:
            subvolume.delete(place)
            subvolume.snapshot(store.top / foreign[name], place)
        elif (tree / name).is_dir():
            copy_missing(tree / name, place)
            copy_attributes(tree / name, place)
    for path, source in sorted(foreign.items()):
        if path in STATE:
            continue
        place = store.top / "state" / path
        place.mkdir(parents=True, exist_ok=True)
        copy_missing(store.top / source, place)
        copy_attributes(store.top / source, place)


def drop_foreign(top: Path, paths: Iterable[str]) -> None:
    """Delete subvolumes of a foreign system, with those nested in them; never one of a store's."""
    for path in paths:
        if path and path.split("/")[0] not in OURS:
            subvolume.delete(top / path)
    subvolume.sync(top)


def drop_store(top: Path) -> None:
    """Delete a store and all its snapshots: for a disk that goes back to the system that was there before."""
    for name in sorted(OURS):
        place = top / name
        if place.is_dir() and not place.is_symlink():
            subvolume.drop_folder(place)
        else:
            place.unlink(missing_ok=True)
    subvolume.sync(top)
