"""Carrying the state contract out: subvolumes for what is not shared by all, and the list of mounts the init program reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rastos.errors import IntegrityError
from rastos.host import exchange, read_json, safe_join, write_atomic, write_json

from . import subvolume
from .copying import copy_attributes, copy_missing
from .etc_apply import own_folder
from .state_contract import ALWAYS_SHARED, Contract
from .store import Store

MOUNTS = "rastos/state-mounts"  # in /etc: "subvolume TAB target" per line, read by rastos-init
FILLED = ".filled"  # beside a snapshot's own state: its generation when it was filled


@dataclass(frozen=True, slots=True)
class StatePlace:
    """A path with a subvolume of its own; `subvolume` from the top level, "" in the parts a deployment number decides.

    `source`: what fills it the first time ("" where it is there already).
    """

    path: str
    way: str
    subvolume: str
    source: str


def plan_places(store: Store, contract: Contract, snapshot: int) -> tuple[StatePlace, ...]:
    """Which subvolumes a deployment of a snapshot needs. Raises IntegrityError where a path can't be mounted on."""
    found = []
    for item in contract.paths:
        inside = item.path.split("/")[0] in ALWAYS_SHARED
        if item.way == "shared" and inside:
            continue  # it is part of the shared state anyway
        if not inside and not _folder(store.tree(snapshot), item.path):
            raise IntegrityError(
                f"snapshot {snapshot} has no folder /{item.path} to mount on",
                on=item.source,
                next_step="make the folder in the snapshot, or take the line out",
            )
        name = quote(item.path, safe="")
        if item.way == "reset":
            found.append(StatePlace(item.path, item.way, "", "the snapshot"))
        elif item.way == "per-snapshot":
            place = f"snapshots/{snapshot}/state/{name}"
            found.append(StatePlace(item.path, item.way, place, _origin(store, snapshot, place, item.path)))
        else:
            place = f"state/{name}"
            found.append(StatePlace(item.path, item.way, place, "" if (store.top / place).is_dir() else "the snapshot"))
    return tuple(found)


def make_places(store: Store, places: tuple[StatePlace, ...], snapshot: int, folder: Path, number: int) -> None:
    """Make them, and write the list of mounts into the deployment's /etc. `folder` is the deployment as it is built."""
    lines = []
    for place in places:
        name = quote(place.path, safe="")
        if place.way == "reset":
            built, final = folder / "state" / name, f"deployments/{number}/state/{name}"
        else:
            built, final = store.top / place.subvolume, place.subvolume
        if place.source or not built.is_dir():
            _fill(store, place, snapshot, built, folder / "making")
        _mount_point(store, place.path, built)
        lines.append(f"{final}\t/{place.path}\n")
    target = own_folder(folder / "etc", "rastos") / MOUNTS.rpartition("/")[2]
    if lines:
        write_atomic(target, "".join(lines))
    else:
        target.unlink(missing_ok=True)


def _fill(store: Store, place: StatePlace, snapshot: int, built: Path, making: Path) -> None:
    """Complete in the deployment that is being built first: a half-filled one must never be taken for the real one."""
    built.parent.mkdir(parents=True, exist_ok=True)
    if place.source.startswith("snapshots/"):
        subvolume.snapshot(store.top / place.source, making)
    else:
        subvolume.create(making)
        root = store.top / "state" if place.source.startswith("state/") else store.tree(snapshot)
        source = safe_join(root, place.path)
        if source.is_dir() and not source.is_symlink():
            copy_missing(source, making)
            copy_attributes(source, making)
    note = built.with_name(built.name + FILLED)
    if place.way == "per-snapshot":
        write_json(note, -1)
    if built.is_dir():
        exchange(making, built)
        subvolume.delete(making)
    else:
        os.rename(making, built)
    if place.way == "per-snapshot":
        store.sync()
        write_json(note, subvolume.generation(built))


def _untouched(built: Path) -> bool:
    """Filled for a deployment that never ran: nothing was written there since, so it may be filled again."""
    try:
        filled = read_json(built.with_name(built.name + FILLED))
    except (OSError, IntegrityError):
        return False
    return filled in (-1, subvolume.generation(built))


def _mount_point(store: Store, path: str, model: Path) -> None:
    """The folder to mount on, in the shared state; outside it the tree has one (seen in the plan)."""
    parts = path.split("/")
    if parts[0] not in ALWAYS_SHARED:
        return
    state = store.top / "state"
    for count in range(1, len(parts) + 1):
        place = safe_join(state, "/".join(parts[:count]))
        if os.path.lexists(place) and not (place.is_dir() and not place.is_symlink()):
            raise IntegrityError(
                f"/{'/'.join(parts[:count])} is no folder, so /{path} can't be mounted",
                next_step="remove it, or take the path out of the state contract",
            )
        if not place.exists():
            place.mkdir()
            if count == len(parts):
                copy_attributes(model, place)


def _origin(store: Store, snapshot: int, place: str, path: str) -> str:
    """Where a snapshot's own state starts from: that of the nearest snapshot above it, what was shared, or the tree."""
    running = store.booted is not None and store.deployment(store.booted).snapshot == snapshot
    if (store.top / place).is_dir() and (running or not _untouched(store.top / place)):
        return ""
    parents = {item.id: item.parent for item in store.snapshots()}
    above = parents.get(snapshot)
    seen = set()
    while above is not None and above not in seen:
        seen.add(above)
        theirs = f"snapshots/{above}/state/{place.rpartition('/')[2]}"
        if (store.top / theirs).is_dir():
            return theirs
        above = parents.get(above)
    return f"state/{path}" if _folder(store.top / "state", path) else "the snapshot"


def _folder(root: Path, path: str) -> bool:
    try:
        place = safe_join(root, path)
    except IntegrityError:
        return False
    return place.is_dir() and not place.is_symlink()
