"""The tree as it will be: who stands in it, who satisfies what, who is against whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..records import PackageRecord
from ..relations import Dependency, parse_dependency, satisfies


class Standing:
    """Starts as what is installed; packages are chosen, removed, replaced."""

    def __init__(self, installed: Mapping[str, PackageRecord]) -> None:
        self.installed = installed
        self.chosen: dict[str, PackageRecord] = {}
        self.removed: dict[str, PackageRecord] = {}
        # name or provided name -> packages that have it
        self._named: dict[str, dict[str, PackageRecord]] = {}
        # name in somebody's conflicts -> who says so (may have fallen since)
        self._enemies: dict[str, list[PackageRecord]] = {}
        for record in installed.values():
            self._stand(record)

    def choose(self, record: PackageRecord) -> None:
        """Bring a package in, in the place of one of its name."""
        old = self.chosen.get(record.name) or self.installed.get(record.name)
        if old is not None:
            self._fall(old)
        self.removed.pop(record.name, None)
        self.chosen[record.name] = record
        self._stand(record)

    def remove(self, record: PackageRecord) -> None:
        """Take an installed package out."""
        self.removed[record.name] = record
        self._fall(record)

    def satisfier(self, wanted: Dependency) -> PackageRecord | None:
        """Who meets a dependency, the first by name."""
        found = self._named.get(wanted.name)
        if not found:
            return None
        return next((found[name] for name in sorted(found) if satisfies(found[name], wanted)), None)

    def all(self) -> dict[str, PackageRecord]:
        """Every package of the tree as it will be, by name."""
        return {record.name: record for group in self._named.values() for record in group.values()}

    def against(self, record: PackageRecord) -> Iterable[PackageRecord]:
        """Packages of the tree that `record` names as conflicts."""
        for text in record.conflicts:
            wanted = parse_dependency(text)
            for other in self._named.get(wanted.name, {}).values():
                if other.name != record.name and satisfies(other, wanted):
                    yield other

    def enemies(self, candidate: PackageRecord) -> Iterable[PackageRecord]:
        """Packages of the tree that name `candidate` as a conflict."""
        for name in names_of(candidate):
            for other in self._enemies.get(name, ()):
                stands = self._named.get(other.name, {}).get(other.name) is other and other.name != candidate.name
                if stands and any(satisfies(candidate, parse_dependency(text)) for text in other.conflicts):
                    yield other

    def _stand(self, record: PackageRecord) -> None:
        for name in names_of(record):
            self._named.setdefault(name, {})[record.name] = record
        for text in record.conflicts:
            self._enemies.setdefault(parse_dependency(text).name, []).append(record)

    def _fall(self, record: PackageRecord) -> None:
        for name in names_of(record):
            self._named.get(name, {}).pop(record.name, None)


def names_of(record: PackageRecord) -> set[str]:
    """A package's name and what it provides."""
    return {record.name, *(parse_dependency(text).name for text in record.provides)}
