"""Which versions have written the shared state, so that going back under newer state is said before it happens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import read_json, write_json

from .metadata import now
from .state_contract import Contract, Stamp, first_line, newer, read_contract
from .store import Store

RECORD = "written.json"


@dataclass(frozen=True, slots=True)
class Written:
    """The newest version that wrote a program's state; `snapshot` is 0 or more, or None where only the state itself says it."""

    name: str
    version: str
    snapshot: int | None
    deployment: int | None
    noted: str = ""


@dataclass(frozen=True, slots=True)
class NewerState:
    """State written by a newer version than the snapshot to be deployed has."""

    name: str
    version: str
    written: str
    snapshot: int | None
    refuse: bool

    def words(self) -> str:
        """For people."""
        by = f" (snapshot {self.snapshot})" if self.snapshot is not None else ""
        return f"{self.name}: its state was written by version {self.written}{by}, this snapshot has {self.version}"


def newer_state(store: Store, contract: Contract) -> tuple[NewerState, ...]:
    """What the contract's programs would find written by a newer version."""
    if not contract.stamps:
        return ()
    known = written_versions(store)
    shared = {item.path for item in contract.paths if item.way != "shared"}
    found = []
    for stamp in contract.stamps:
        if any(stamp.state == path or stamp.state.startswith(path + "/") for path in shared if stamp.state):
            continue  # it has its own
        written = _really(store, stamp) or known.get(stamp.name)
        if written is not None and newer(written.version, stamp.version):
            refuse = stamp.newer == "refuse"
            found.append(NewerState(stamp.name, stamp.version, written.version, written.snapshot, refuse))
    return tuple(found)


def written_versions(store: Store) -> dict[str, Written]:
    """What is recorded, and what those deployments that have booted since may have written."""
    found = _recorded(store)
    booted = {entry.number for entry in store.entries() if entry.state == "good" or entry.done > 0}
    if store.booted is not None:
        booted.add(store.booted)
    for number in sorted(booted):
        try:
            snapshot = store.deployment(number).snapshot
            contract = read_contract(store.tree(snapshot), store.deployment_path(number) / "etc")
        except (IntegrityError, OSError, KeyError, TypeError):
            continue
        for stamp in contract.stamps:
            before = found.get(stamp.name)
            if before is None or newer(stamp.version, before.version):
                found[stamp.name] = Written(stamp.name, stamp.version, snapshot, number, now())
    return found


def note_written(store: Store) -> None:
    """Record it, before the entries that tell it go."""
    before, found = _recorded(store), written_versions(store)
    if found != before:
        write_json(store.top / "state" / RECORD, {name: asdict(item) for name, item in sorted(found.items())})


def _recorded(store: Store) -> dict[str, Written]:
    try:
        rows: dict[str, dict[str, Any]] = read_json(store.top / "state" / RECORD)
        return {name: Written(**row) for name, row in rows.items()}
    except (OSError, IntegrityError, TypeError, AttributeError):
        return {}


def _really(store: Store, stamp: Stamp) -> Written | None:
    """What the state itself says."""
    version = first_line(store.top / "state", stamp.state) if stamp.state else ""
    return Written(stamp.name, version, None, None) if version else None
