"""What nobody needs: packages that no explicit one reaches by its dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..records import PackageRecord
from ..relations import parse_dependency, satisfies
from .standing import names_of


def unneeded(
    packages: Mapping[str, PackageRecord], roots: Iterable[str], *, optional: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that `roots` don't reach, and among them those that some reached package names as optional.

    With `optional` these are spared: they are the second list, and not in the first.
    """
    owners: dict[str, list[PackageRecord]] = {}
    for record in packages.values():
        for name in names_of(record):
            owners.setdefault(name, []).append(record)
    reached = _reach(packages, owners, roots)
    spared: set[str] = set()
    if optional:
        wanted = {text for name in reached for text in packages[name].optdepends}
        starts = {o.name for text in wanted for o in _meeting(owners, text) if o.name not in reached}
        spared = _reach(packages, owners, starts) - reached
    return tuple(sorted(set(packages) - reached - spared)), tuple(sorted(spared))


def _reach(
    packages: Mapping[str, PackageRecord], owners: Mapping[str, list[PackageRecord]], starts: Iterable[str]
) -> set[str]:
    reached: set[str] = set()
    waiting = [name for name in starts if name in packages]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for text in packages[name].depends:
            waiting += [owner.name for owner in _meeting(owners, text)]
    return reached


def _meeting(owners: Mapping[str, list[PackageRecord]], text: str) -> list[PackageRecord]:
    wanted = parse_dependency(text)
    return [record for record in owners.get(wanted.name, ()) if satisfies(record, wanted)]
