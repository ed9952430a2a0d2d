"""The state contract of a snapshot as it stands: which paths go which way, and who wrote the state last."""

from __future__ import annotations

from dataclasses import dataclass

from .etc_files import chosen_deployment, etc_of
from .state_contract import Contract, read_contract
from .state_places import plan_places
from .state_written import newer_state, written_versions
from .store import Store


@dataclass(frozen=True, slots=True)
class StateShown:
    """A declared path: `subvolume` from the top level ("" for a new one with each deployment), `source` what fills it next."""

    path: str
    way: str
    declared: str
    subvolume: str
    source: str


@dataclass(frozen=True, slots=True)
class StampShown:
    """A program's state version in this snapshot, and the newest that has written ("" and None where nobody knows)."""

    name: str
    version: str
    written: str
    by: int | None
    newer: bool
    refuse: bool


@dataclass(frozen=True, slots=True)
class StateReport:
    """All that is declared for a snapshot; what is not declared is shared by all deployments."""

    snapshot: int
    paths: tuple[StateShown, ...]
    stamps: tuple[StampShown, ...]


def state_report(store: Store, snapshot: int) -> StateReport:
    """The contract of a snapshot with the current machine's /etc. Raises IntegrityError for a file that isn't right."""
    tree = store.tree(snapshot)
    there = store.booted is not None or store.current() is not None
    etc = etc_of(store, chosen_deployment(store, None).number) if there else tree / "etc"
    contract = read_contract(tree, etc)
    return StateReport(snapshot, _paths(store, contract, snapshot), _stamps(store, contract))


def _paths(store: Store, contract: Contract, snapshot: int) -> tuple[StateShown, ...]:
    places = {place.path: place for place in plan_places(store, contract, snapshot)}
    found = []
    for item in contract.paths:
        place = places.get(item.path)
        subvolume, source = (place.subvolume, place.source) if place else (f"state/{item.path.partition('/')[0]}", "")
        found.append(StateShown(item.path, item.way, item.source, subvolume, source))
    return tuple(found)


def _stamps(store: Store, contract: Contract) -> tuple[StampShown, ...]:
    known, newer = written_versions(store), {item.name: item for item in newer_state(store, contract)}
    found = []
    for stamp in contract.stamps:
        written, warned = known.get(stamp.name), newer.get(stamp.name)
        version = warned.written if warned else written.version if written else ""
        by = warned.snapshot if warned else written.snapshot if written else None
        refuse = stamp.newer == "refuse"
        found.append(StampShown(stamp.name, stamp.version, version, by, warned is not None, refuse))
    return tuple(found)
