"""What can be built from: the versions that apt offers, and the sources that lie unpacked in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError, IntegrityError
from rastos.host import read_json
from rastos.kernel.sources import apt, debian
from rastos.kernel.sources.source import Wanted


@dataclass(frozen=True, slots=True)
class Listed:
    """One source: `version` as apt names it (for `--source`), `suites` that have it, whether apt would choose it
    (`candidate`), and whether its tree lies here."""

    kind: str
    title: str
    version: str
    digest: str
    tree: Path
    suites: tuple[str, ...] = ()
    package: str = ""
    candidate: bool = False
    unpacked: bool = False


def list_sources(cache: Path) -> tuple[Listed, ...]:
    """What apt offers, newest first, then what else is unpacked in the cache. A host without apt has only the latter."""
    here = {item.tree: item for item in _unpacked(cache)}
    try:
        offered = apt.offers(cache)
    except HostError:
        offered = ()
    found = []
    for item in reversed(offered):
        source = debian.source_of(item, Wanted(None, cache))
        unpacked = here.pop(source.tree, None) is not None
        found.append(
            Listed(
                *("deb", source.title, item.version, item.sha256, source.tree),
                *(item.suites, item.package, item.candidate, unpacked),
            )
        )
    return (*found, *here.values())


def _unpacked(cache: Path) -> list[Listed]:
    """Every complete tree, by its folder's name; unfinished ones are left out."""
    found = []
    for path in sorted((cache / "sources").glob("*/source.json")):
        try:
            facts = read_json(path)
            kind, title, version, digest = (str(facts[name]) for name in ("kind", "title", "version", "digest"))
        except (IntegrityError, KeyError, TypeError):
            continue
        found.append(Listed(kind, title, version, digest, path.parent / "tree", unpacked=True))
    return found
