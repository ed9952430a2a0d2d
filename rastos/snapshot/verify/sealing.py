"""The seal of a snapshot: which subvolume its manifest was taken from, and the transaction of that one's last change.

It makes the quick check possible: whatever writes into a subvolume moves its last transaction (btrfs-subvolume(8), show), so a
read-only one with the sealed values was not written to through the file system. What a disk does by itself is found by reading
everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import faults, read_json, write_json

from .. import subvolume
from ..store import Store

SEAL = "seal.json"


def recorded_digest(store: Store, number: int) -> str:
    """The digest of a snapshot's manifest; "" where none was taken."""
    return str(_seal(store, number).get("manifest", ""))


def seal(store: Store, number: int, digest: str) -> None:
    """Note the subvolume as it is now as the one that its manifest describes."""
    # what the kernel has not written out yet would move the transaction afterwards
    store.sync()
    write_seal(store.snapshot_path(number), digest)
    faults.reached("record.sealed")


def write_seal(folder: Path, digest: str) -> None:
    """The same for a snapshot's folder, synced already."""
    own = subvolume.identities(folder / "tree")
    write_json(folder / SEAL, {"subvolume": own.uuid, "changed": own.changed, "manifest": digest})


def quick_problems(store: Store, number: int) -> tuple[str, ...]:
    """What tells without reading any file that a snapshot was changed: its property, its subvolume, its last change."""
    tree = store.tree(number)
    found = [] if subvolume.is_read_only(tree) else ["its tree is writable"]
    sealed = _seal(store, number)
    if sealed:
        own = subvolume.identities(tree)
        if own.uuid != sealed.get("subvolume"):
            found.append("its tree is another subvolume than the one that was recorded")
        elif own.changed != sealed.get("changed"):
            found.append("its tree was written to after it was recorded")
    return tuple(found)


def require_unchanged(store: Store, number: int) -> None:
    """IntegrityError where the quick check finds something."""
    found = quick_problems(store, number)
    if found:
        raise IntegrityError(
            f"snapshot {number} is not what it was: {'; '.join(found)}",
            next_step=f"see what changed: rastos snapshot verify {number}; mend it: rastos snapshot repair {number}",
        )


def _seal(store: Store, number: int) -> dict[str, Any]:
    place = store.snapshot_path(number) / SEAL
    try:
        found = read_json(place) if place.is_file() else {}
    except IntegrityError:
        return {"subvolume": "its record is damaged"}
    return found if isinstance(found, dict) else {}
