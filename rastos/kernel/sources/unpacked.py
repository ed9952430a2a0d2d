"""Which sources lie unpacked in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import read_json


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A complete tree: kind, title, version and digest as when it was unpacked."""

    kind: str
    title: str
    version: str
    digest: str
    tree: Path


def unpacked_sources(cache: Path) -> tuple[Unpacked, ...]:
    """Every complete tree in the cache, by its folder's name; unfinished ones are left out."""
    found = []
    for path in sorted((cache / "sources").glob("*/source.json")):
        try:
            facts = read_json(path)
            texts = [str(facts[name]) for name in ("kind", "title", "version", "digest")]
        except (IntegrityError, KeyError, TypeError):
            continue
        found.append(Unpacked(texts[0], texts[1], texts[2], texts[3], path.parent / "tree"))
    return tuple(found)
