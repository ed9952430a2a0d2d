"""What a store has already: what a sender asks of a receiver, to send only what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from rastos.errors import IntegrityError

from .. import subvolume
from ..store import Store
from .spool import Spool

HEX = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A stream that was cut off: `stream` and `base` as in its header, digests of the chunks that are kept."""

    stream: str
    base: str
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Have:
    """Snapshots by their uuid, subvolumes by the UUIDs that btrfs knows them by, and what was cut off."""

    store: str
    snapshots: frozenset[str]
    subvolumes: frozenset[str]
    unfinished: tuple[Unfinished, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As another machine reads it."""
        return {**asdict(self), "snapshots": sorted(self.snapshots), "subvolumes": sorted(self.subvolumes)}

    def kept(self, stream: str, base: str) -> tuple[str, ...]:
        """Digests of what is kept of that stream."""
        found = (item.chunks for item in self.unfinished if (item.stream, item.base) == (stream, base))
        return next(found, ())


def what_is_there(store: Store) -> Have:
    """Ask a store."""
    found = store.snapshots()
    known: set[str] = set()
    for item in found:
        own = subvolume.identities(store.tree(item.id))
        known |= {own.uuid, own.received} - {""}
    cut = tuple(Unfinished(spool.stream, spool.base, spool.digests) for spool in Spool.every(store.top))
    return Have(str(store.info.get("uuid", "")), frozenset(item.uuid for item in found), frozenset(known), cut)


def forget_unfinished(store: Store) -> tuple[int, int]:
    """Drop what is kept of streams that were cut off: how many, and their bytes."""
    spools = Spool.every(store.top)
    size = sum(spool.size for spool in spools)
    for spool in spools:
        spool.drop()
    return len(spools), size


def read_have(text: str, where: object) -> Have:
    """From JSON that another machine wrote. IntegrityError: it isn't that."""
    try:
        value = json.loads(text)
        cut = tuple(
            Unfinished(str(item["stream"]), str(item["base"]), tuple(str(digest) for digest in item["chunks"]))
            for item in value["unfinished"]
        )
        snapshots = frozenset(str(item) for item in value["snapshots"])
        subvolumes = frozenset(str(item) for item in value["subvolumes"] if HEX.match(str(item)))
        return Have(str(value["store"]), snapshots, subvolumes, cut)
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            "this is no list of what a store has",
            on=where,
            next_step="make one on the receiving side: rastos snapshot receive --have",
        ) from error
