"""The dependency graph of what is installed: who needs whom and why, what would break, what nobody needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from rastos.errors import UserError

from .channels import alternatives_of
from .manifest import near
from .plan import shown_version
from .records import PackageRecord
from .relations import parse_dependency, satisfies
from .resolve import unneeded

_CHAINS = 12  # chains shown for one package


@dataclass(frozen=True)
class Edge:
    """`source` needs `to` because it wants `wanted` (another name than `to` where that is provided)."""

    source: str
    to: str
    wanted: str
    optional: bool = False


@dataclass(frozen=True)
class Why:
    """Why a package is there: chains of edges from explicit packages (none: it is explicit itself, or an orphan).

    `optional` are those that name it as optional, `breaks` what could not stay without it.
    """

    name: str
    version: str
    reason: str
    chains: tuple[tuple[Edge, ...], ...]
    optional: tuple[Edge, ...]
    breaks: tuple[str, ...]


@dataclass(frozen=True)
class Branch:
    """A node of a dependency tree; `seen` says that its branches were shown before, `missing` that nobody meets it."""

    name: str
    version: str
    wanted: str = ""
    seen: bool = False
    missing: bool = False
    below: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Orphans:
    """Dependencies nobody needs, and those that are only optional for somebody (with whom)."""

    names: tuple[str, ...]
    optional: Mapping[str, tuple[str, ...]]


class Graph:
    """Packages of a tree by name."""

    def __init__(self, packages: Mapping[str, PackageRecord]) -> None:
        self.packages = packages
        self._owners: dict[str, list[PackageRecord]] = {}
        for record in packages.values():
            for name in {record.name, *(parse_dependency(text).name for text in record.provides)}:
                self._owners.setdefault(name, []).append(record)
        self._incoming: dict[str, list[Edge]] | None = None

    def meeting(self, text: str) -> list[PackageRecord]:
        """Packages that meet a dependency."""
        wanted = parse_dependency(text)
        return [record for record in self._owners.get(wanted.name, ()) if satisfies(record, wanted)]

    def needs(self, name: str, *, optional: bool = False) -> list[Edge]:
        """What a package needs, as edges to those that meet it."""
        record = self.packages[name]
        texts = record.optdepends if optional else record.depends
        return [
            Edge(name, other.name, shown_dependency(text), optional)
            for text in texts
            for other in self.meeting(text)
            if other.name != name
        ]

    def needed_by(self, name: str) -> list[Edge]:
        """Edges to a package, optional ones included."""
        if self._incoming is None:
            self._incoming = {}
            for source in sorted(self.packages):
                for edge in (*self.needs(source), *self.needs(source, optional=True)):
                    self._incoming.setdefault(edge.to, []).append(edge)
        return self._incoming.get(name, [])

    def why(self, name: str) -> Why:
        """Why it is there. UserError: it isn't, with near names."""
        record = self.record(name)
        chains: list[tuple[Edge, ...]] = []
        waiting: deque[tuple[Edge, ...]] = deque([()])
        seen = {name}
        while waiting and len(chains) < _CHAINS:
            chain = waiting.popleft()
            start = chain[0].source if chain else name
            if chain and self.packages[start].reason != "dependency":
                chains.append(chain)
                continue
            for edge in self.needed_by(start):
                if not edge.optional and edge.source not in seen:
                    seen.add(edge.source)
                    waiting.append((edge, *chain))
        return Why(
            name=name,
            version=shown_version(record.version),
            reason=record.reason,
            chains=tuple(chains),
            optional=tuple(edge for edge in self.needed_by(name) if edge.optional),
            breaks=self.breaks(name),
        )

    def breaks(self, name: str) -> tuple[str, ...]:
        """Packages that could not stay if it went, in order of distance."""
        gone = {name: None}
        waiting = [name]
        while waiting:
            lost = waiting.pop(0)
            for edge in self.needed_by(lost):
                if edge.optional or edge.source in gone:
                    continue
                unmet = any(
                    all(other.name in gone for other in self.meeting(text))
                    for text in self.packages[edge.source].depends
                    if any(other.name == lost for other in self.meeting(text))
                )
                if unmet:
                    gone[edge.source] = None
                    waiting.append(edge.source)
        return tuple(gone)[1:]

    def tree(self, name: str, *, reverse: bool = False, depth: int = 0) -> Branch:
        """What a package needs (`reverse`: what needs it), `depth` levels of it (0: all). UserError: it isn't there."""
        self.record(name)
        return self._branch(name, "", reverse, depth, set())

    def _branch(self, name: str, wanted: str, reverse: bool, depth: int, seen: set[str]) -> Branch:
        version = shown_version(self.packages[name].version)
        label = wanted if parse_dependency(wanted).name != name or reverse else ""
        edges = self._edges(name, reverse)
        if name in seen:
            return Branch(name, version, label, seen=bool(edges))
        seen.add(name)
        if depth == 1:
            return Branch(name, version, label)
        below = [
            self._branch(other, text, reverse, max(depth - 1, 0), seen) if other else Branch(text, "", missing=True)
            for other, text in edges
        ]
        return Branch(name, version, label, below=tuple(below))

    def _edges(self, name: str, reverse: bool) -> list[tuple[str, str]]:
        if reverse:
            return list(
                {edge.source: (edge.source, edge.wanted) for edge in self.needed_by(name) if not edge.optional}.values()
            )
        found: dict[str, tuple[str, str]] = {}
        for text in self.packages[name].depends:
            meeting = self.meeting(text)
            shown = shown_dependency(text)
            if not meeting:
                found.setdefault(shown, ("", shown))
            elif meeting[0].name != name:
                found.setdefault(meeting[0].name, (meeting[0].name, shown))
        return list(found.values())

    def orphans(self) -> Orphans:
        """What nobody needs any more."""
        roots = [name for name, record in self.packages.items() if record.reason != "dependency"]
        names, spared = unneeded(self.packages, roots)
        optional = {name: tuple(edge.source for edge in self.needed_by(name) if edge.optional) for name in spared}
        return Orphans(names, optional)

    def record(self, name: str) -> PackageRecord:
        """An installed package. UserError with near names."""
        if name not in self.packages:
            step = near(name, self.packages, "")
            step = step if step.endswith("?") else "see `rastos package list`"
            raise UserError(f"{name} is not installed", next_step=step)
        return self.packages[name]


def shown_dependency(text: str) -> str:
    """A dependency as people write it: Debian's versions decoded, alternatives with |."""
    parts = [parse_dependency(part) for part in alternatives_of(text) or (text,)]
    return " | ".join(part.name + part.operator + shown_version(part.version) for part in parts)
