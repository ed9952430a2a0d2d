"""What must not be deleted: the snapshots that run, boot next, booted well last, are pinned, or are being worked on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import read_json

from .metadata import Snapshot
from .store import Store


def booted_snapshot(store: Store) -> int | None:
    """The snapshot that runs now; None for the store of an image file."""
    return None if store.booted is None else _snapshot_of(store, store.booted)


def last_good(store: Store) -> int | None:
    """The snapshot of the newest deployment that booted well."""
    return next(iter(proven(store)), None)


def proven(store: Store) -> tuple[int, ...]:
    """Snapshots whose deployment was marked good after a boot, the newest deployment first, each once."""
    numbers = sorted((entry.number for entry in store.entries() if entry.state == "good"), reverse=True)
    found = [_snapshot_of(store, number) for number in numbers]
    return tuple(dict.fromkeys(number for number in found if number is not None))


def protected(store: Store, snapshots: Iterable[Snapshot]) -> dict[int, str]:
    """Snapshot id → why it stays, in words that follow "it"."""
    why: dict[int, str] = {item.id: "is pinned" for item in snapshots if item.pinned}
    for number, base in kept_sessions(store).items():
        why[base] = f"is what session {number} works on"
    good, following, booted = last_good(store), next_deployment(store), booted_snapshot(store)
    if good is not None:
        why[good] = "is the last one known to boot well"
    if following is not None:
        why[following[1]] = f"boots next (deployment {following[0]})"
    if booted is not None:
        why[booted] = f"is running (deployment {store.booted})"
    return why


def marks_of(store: Store) -> dict[str, int | None]:
    """What is said of snapshots in listings: the one that runs, the one that boots next, the last good one."""
    following = next_deployment(store)
    return {
        "booted": booted_snapshot(store),
        "next": following[1] if following else None,
        "good": last_good(store),
    }


def next_deployment(store: Store) -> tuple[int, int] | None:
    """Deployment and snapshot that boot next; None where nothing does, or where its record is lost."""
    number = max((entry.number for entry in store.entries() if entry.state != "bad"), default=None)
    snapshot = None if number is None else _snapshot_of(store, number)
    return None if number is None or snapshot is None else (number, snapshot)


def kept_sessions(store: Store) -> dict[str, int]:
    """Session → the snapshot it was begun on."""
    found: dict[str, int] = {}
    folder = store.top / "sessions"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        base = _record(path).get("base")
        if isinstance(base, int):
            found[path.stem] = base
    return found


def _snapshot_of(store: Store, deployment: int) -> int | None:
    try:
        return store.deployment(deployment).snapshot
    except (IntegrityError, OSError, KeyError, TypeError):
        return None


def _record(path: Path) -> dict[str, object]:
    try:
        value = read_json(path)
    except (IntegrityError, OSError):
        return {}
    return value if isinstance(value, dict) else {}
