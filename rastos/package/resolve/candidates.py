"""Who may come in: by name, by what they provide, as a group; within the rules; best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ..manifest import Constraint
from ..records import PackageRecord
from ..relations import Dependency, compare_versions, parse_dependency, satisfies
from .values import Alternatives, Index, Rules

Mapped = Callable[[PackageRecord, str], str]


class Candidates:
    """The channels' packages seen through the rules. `banned` names are passed over (looking for another way)."""

    def __init__(
        self,
        indexes: Sequence[Index],
        rules: Rules,
        arch: str,
        alternatives: Alternatives,
        mapped: Mapped,
        banned: frozenset[str] = frozenset(),
    ) -> None:
        self.indexes = indexes
        self.rules = rules
        # a channel may be there for being named alone (Usage of pacman.conf)
        self.open = [i for i in indexes if rules.installable is None or i.channel in rules.installable]
        self.arch = arch
        self.alternatives = alternatives
        self.mapped = mapped
        self.banned = banned
        self._order = {index.channel: number for number, index in enumerate(indexes)}
        self._replacing: dict[str, Mapping[str, list[str]]] = {}

    def named(self, wanted: Dependency, indexes: Iterable[Index] | None = None) -> list[PackageRecord]:
        """The package of that name in every channel that has it, in order of priority."""
        chosen = self.open if indexes is None else indexes
        records = [index.record(wanted.name) for index in chosen if wanted.name in index]
        return [record for record in records if satisfies(record, wanted)]

    def providing(self, wanted: Dependency, indexes: Iterable[Index] | None = None) -> list[PackageRecord]:
        """Packages that provide it under another name."""
        chosen = self.open if indexes is None else indexes
        records = [index.record(name) for index in chosen for name in index.providers(wanted.name)]
        return [record for record in records if satisfies(record, wanted)]

    def group(self, name: str, indexes: Sequence[Index]) -> list[PackageRecord]:
        """Members of a group that may come in, by name; of the first channel that has each."""
        found: dict[str, PackageRecord] = {}
        for index in indexes:
            for member in index.group(name):
                if not self.refused(member):
                    found.setdefault(member.name, member)
        return [found[key] for key in sorted(found)]

    def replacing(self, record: PackageRecord, index: Index) -> list[PackageRecord]:
        """Packages of a channel that say they replace an installed one."""
        known = self._replacing.get(index.channel)
        if known is None:
            known = self._replacing[index.channel] = _replacements(index)
        found = [index.record(name) for name in known.get(record.name, ())]
        return [new for new in found if any(satisfies(record, parse_dependency(text)) for text in new.replaces)]

    def for_dependency(self, text: str, there: Callable[[str], bool]) -> list[PackageRecord]:
        """Who may meet a dependency, best first; `there` says whether a package is in the tree already."""
        wanted = parse_dependency(text)
        parts = self.alternatives(text)
        if not parts:
            named = self.named(wanted)
            first = named if wanted.name not in self.rules.prefer else []
            rest = self.sorted(wanted.name, [*named, *self.providing(wanted)], there)
            records = [*first, *rest]
        else:
            records = [record for part in parts for record in self.for_dependency(part, there)]
        found: dict[tuple[str, str], PackageRecord] = {}
        for record in records:  # the first of a name is the one a lockfile holds
            found.setdefault((record.channel, record.name), record)
        return list(found.values())

    def sorted(
        self, virtual: str, records: Sequence[PackageRecord], there: Callable[[str], bool]
    ) -> list[PackageRecord]:
        """What is there first, then the preferred, the name itself, the channels' order, the alphabet."""
        favourite = self.rules.prefer.get(virtual, "")
        return sorted(
            records,
            key=lambda r: (
                not there(r.name),
                r.name != favourite,
                r.name != virtual,
                self._order.get(r.channel, 0),
                r.name,
            ),
        )

    def refused(self, record: PackageRecord) -> str:
        """Why a package may not come in, or nothing."""
        if record.arch not in ("any", self.arch):
            return f"is for {record.arch}, this tree is {self.arch}"
        if record.name in self.banned or any(fnmatchcase(record.name, text) for text in self.rules.exclude):
            return "is excluded"
        allowed = self.rules.channels.get(record.name)
        if allowed is not None and record.channel not in allowed:
            return f"is wanted from {' or '.join(sorted(allowed)) or 'a channel that is not there'} only"
        wrong = self.unmet(record)
        return f"is wanted {wrong}" if wrong else ""

    def unmet(self, record: PackageRecord) -> str:
        """The constraints on its name that a package doesn't meet, as text."""
        demands = self.rules.constraints.get(record.name, ())
        return ", ".join(str(item) for item in demands if not self._meets(record, item))

    def _meets(self, record: PackageRecord, demand: Constraint) -> bool:
        version, wanted = record.version, self.mapped(record, demand.version)
        if "-" not in demand.version:  # "1.2" means any release of it
            version = self.mapped(record, "")
        order = compare_versions(version, wanted)
        return {"=": order == 0, "<": order < 0, "<=": order <= 0, ">": order > 0}.get(demand.operator, order >= 0)


def plain_version(record: PackageRecord, version: str) -> str:
    """`Mapped` for versions written as libalpm compares them; of "" the record's own without its release."""
    return version or record.version.rpartition("-")[0] or record.version


def _replacements(index: Index) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, body in index.bodies():
        if b"%REPLACES%" in body:
            for text in index.record(name).replaces:
                found.setdefault(parse_dependency(text).name, []).append(name)
    return found
