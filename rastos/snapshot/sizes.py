"""How much data snapshots hold, and how much of it is theirs alone, without quotas.

`total` never changes in a read-only tree: it is measured once, by one walk over its metadata. `own` can only be data that
is newer than the copy it was made as (all else its parent has too, or a deleted parent left it): only that much is looked
at, and the kernel says of each extent whether it is shared. It is measured again when a snapshot copied from this one came
or went. What is known is kept outside the store, by the uuid of the subvolume, so that looking changes nothing.

Counted is data after compression, each extent once. Metadata of the file system (some MiB for a system) is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import digest_of, read_json, write_json
from rastos.progress import Progress

from . import subvolume
from .extents import Extent, extents, unshared
from .store import Store


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk: all the data of a snapshot, what was written in it since it was copied, what it alone refers to."""

    total: int
    new: int
    exclusive: int

    @property
    def shared(self) -> int:
        """What others refer to as well: deleting the snapshot doesn't free it."""
        return self.total - self.exclusive


@dataclass(frozen=True, slots=True)
class _Facts:
    """A subvolume's uuid and last change; `since`: all that is older a snapshot that is there has too (0: none is)."""

    uuid: str
    changed: int
    made_in: int
    since: int
    neighbours: str


def known_sizes(store: Store, cache: Path) -> dict[int, Sizes]:
    """Sizes that were measured before and still hold; nothing is measured."""
    known = _read(_place(store, cache))
    if not known:
        return {}
    around = _around(store, known)
    return {number: found for number, facts in around.items() if (found := _still(known, facts)) is not None}


def measured_sizes(store: Store, cache: Path, progress: Progress) -> dict[int, Sizes]:
    """Sizes of all snapshots; those not known are measured. Costs about 0.1 s for a tree of 10,000 files seen first."""
    place = _place(store, cache)
    known = _read(place)
    around = _around(store, known)
    found = {number: sizes for number, facts in around.items() if (sizes := _still(known, facts)) is not None}
    missing = sorted(around.keys() - found.keys())
    if not missing:
        return found
    with progress.step("Measuring snapshots", total=len(missing)) as step:
        for count, number in enumerate(missing):
            step.advance(count, f"snapshot {number}")
            found[number] = _measure(store.tree(number), around[number], known)
        step.outcome = f"{len(missing)} of {len(around)}"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, known)
    return found


def _around(store: Store, known: dict[str, Any]) -> dict[int, _Facts]:
    """Of each snapshot's subvolume: what is known of it, and a digest of the others it may share data with.

    Those are its nearest ancestor that is there, the copies of it, and, where its parent was deleted, the other copies
    of that. Who was copied from whom is remembered beyond deletion.
    """
    every = {item.uuid: item for item in subvolume.listed(store.top)}
    for item in every.values():
        known.setdefault(item.uuid, {}).update(parent=item.parent_uuid, made_in=item.made_in)
    numbers = {uuid: number for uuid, item in every.items() if (number := _number(item.path)) is not None}
    ancestor: dict[str, str] = {}
    since: dict[str, int] = {}
    related: dict[str, list[str]] = {}
    for uuid, item in every.items():
        above, made_in, top = item.parent_uuid, item.made_in, ""
        while above and above not in numbers:
            top = above
            line = known.get(above, {})
            above, made_in = str(line.get("parent", "")), int(line.get("made_in", 0))
        if above and every[above].changed > made_in:  # it was written to since: not what was copied
            above = ""
        ancestor[uuid], since[uuid] = above, made_in if above else 0
        for group in filter(None, (above, top)):
            related.setdefault(group, []).append(uuid)
        if top:
            related.setdefault(uuid, []).append(top)
    found = {}
    for uuid, number in numbers.items():
        gone = [group for group in related.get(uuid, ()) if group not in numbers]
        family = [other for group in gone for other in related[group]]
        digest = digest_of(ancestor[uuid], *sorted({*related.get(uuid, ()), *family}))[:16]
        found[number] = _Facts(uuid, every[uuid].changed, every[uuid].made_in, since[uuid], digest)
    return found


def _number(path: str) -> int | None:
    parts = path.split("/")
    ours = len(parts) == 3 and parts[0] == "snapshots" and parts[1].isdigit() and parts[2] == "tree"
    return int(parts[1]) if ours else None


def _still(known: Mapping[str, Any], facts: _Facts) -> Sizes | None:
    line = known.get(facts.uuid, {})
    if line.get("changed") != facts.changed or line.get("neighbours") != facts.neighbours:
        return None
    return Sizes(int(line["total"]), int(line["new"]), int(line["exclusive"]))


def _measure(tree: Path, facts: _Facts, known: dict[str, Any]) -> Sizes:
    line = known[facts.uuid]
    if line.get("changed") == facts.changed and "total" in line:
        total, new = int(line["total"]), int(line["new"])
    else:
        total = sum({item.place: item.size for item in extents(tree)}.values())
        new = sum({item.place: item.size for item in extents(tree, since=facts.made_in)}.values())
    exclusive = _exclusive(tree, facts.since)
    line.update(changed=facts.changed, neighbours=facts.neighbours, total=total, new=new, exclusive=exclusive)
    return Sizes(total, new, exclusive)


def _exclusive(tree: Path, since: int) -> int:
    by_inode: dict[int, list[Extent]] = {}
    for item in extents(tree, since=since):
        by_inode.setdefault(item.inode, []).append(item)
    own: dict[int, int] = {}
    for inode, parts in by_inode.items():
        ranges = unshared(tree, inode)
        own.update(
            {item.place: item.size for item in parts if any(begin <= item.position < end for begin, end in ranges)}
        )
    return sum(own.values())


def _place(store: Store, cache: Path) -> Path:
    return cache / "sizes" / f"{store.info['uuid']}.json"


def _read(place: Path) -> dict[str, Any]:
    try:
        value = read_json(place) if place.is_file() else {}
    except (IntegrityError, OSError):
        return {}
    return value if isinstance(value, dict) else {}
