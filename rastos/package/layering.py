"""A fresh tree's packages in layers, so that what is below a change need not be installed again.

A layer is one transaction: the packages of some targets, with all they need that is not below. Every layer is made on exactly
the same one below, in the same order, whether that was made just now or taken from a cache: what comes out is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rastos.progress import Progress

from .channels import Channel
from .manifest import Manifest
from .plan import Plan
from .policy import TransactionPolicy
from .preparation import wanted_of
from .records import PackageRecord
from .relations import parse_dependency
from .target import Target
from .transaction import apply_plan

LARGE = 24  # packages; a layer above the first one is cut where it has as many


@dataclass(frozen=True, slots=True)
class Layer:
    """One transaction; `key` names everything in the tree after it, `contents` what of it this layer brings.

    `contents`: package name → version, channel and digest.
    """

    name: str
    plan: Plan
    key: str
    contents: Mapping[str, str]


def set_groups(manifest: Manifest, sets: Sequence[str], declared: Iterable[str]) -> list[tuple[str, list[str]]]:
    """`declared` targets by the package set they stand in, included sets first."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order and name in manifest.sets:
            for other in manifest.sets[name].include:
                visit(other)
            order.append(name)

    for name in sets:
        visit(name)
    left = list(declared)
    groups = []
    for name in order:
        own = {item.name for item in manifest.sets[name].packages}
        found = [target for target in left if _name(target) in own]
        left = [target for target in left if target not in found]
        groups.append((name, found))
    return [*groups, ("others", left)]


def layers_of(plan: Plan, groups: Sequence[tuple[str, Sequence[str]]], *, rules: str) -> tuple[Layer, ...]:
    """Cut the plan for an empty tree into layers, one or more for each group of targets.

    The targets of the last group come last, alone; what they need comes before the last group but one, so that a change of
    that one leaves it as it is. What no group asks for is the last layer but one. `rules`: what else decides what comes out.
    """
    graph = _Graph(plan.records)
    taken: set[str] = set()
    parts: list[tuple[str, set[str]]] = []

    def add(name: str, targets: Sequence[str]) -> None:
        nonlocal taken
        part: set[str] = set()
        for target in targets:
            part |= graph.closure(target) - taken - last
            if parts and len(part) >= LARGE:
                parts.append((name, part))
                taken, part = taken | part, set()
        if part:
            parts.append((name, part))
            taken |= part

    name, targets = groups[-1]
    # alone, without what they need: they change most often
    last = {member for target in targets for member in graph.known.get(_name(target), ())}
    for group in groups[:-2]:
        add(*group)
    needs = set[str]().union(*(graph.closure(target) for target in targets)) - taken - last
    if needs:
        parts.append((f"needs of {name}", needs))
        taken |= needs
    for group in groups[-2:-1]:
        add(*group)
    if rest := {record.name for record in plan.records} - taken - last:
        parts.append(("others", rest))
    if last:
        parts.append((name, last))
    return tuple(_chained(plan, parts, graph, rules))


def apply_layers(
    target: Target,
    channels: Sequence[Channel],
    layers: Sequence[Layer],
    progress: Progress,
    *,
    policy: TransactionPolicy | None = None,
) -> None:
    """Install every layer, one upon the other. Errors as `apply_plan`."""
    for layer in layers:
        apply_plan(target, channels, layer.plan, progress, policy=policy)


def fetch_layers(target: Target, channels: Sequence[Channel], layers: Sequence[Layer], progress: Progress) -> None:
    """Fetch the packages of all layers, before the first one is begun. HostError: no network, no space."""
    for layer in layers:
        for channel, packages in wanted_of(layer.plan, channels):
            channel.fetch(packages, target.packages, progress)


def how_made(channels: Sequence[Channel], policy: TransactionPolicy) -> str:
    """What decides, beside the packages themselves, what a transaction leaves in a tree: rules, and this code."""
    return "\n".join([repr(policy), _code(), *(channel.name for channel in channels)])


@cache
def _code() -> str:
    """A digest of this package's sources: a cache must not outlive a change of what it was made by."""
    from rastos.host import digest_of

    here = Path(__file__).parent
    return digest_of(*(path.read_bytes() for path in sorted(here.rglob("*.py"))))


def _chained(plan: Plan, parts: Sequence[tuple[str, set[str]]], graph: _Graph, rules: str) -> Iterable[Layer]:
    from rastos.host import digest_of

    names = [name for name, _ in parts]
    below = digest_of(rules)
    for number, (name, members) in enumerate(parts):
        part = replace(
            plan,
            install=tuple(item for item in plan.install if item.name in members),
            records=tuple(graph.records[item] for item in graph.ordered(members)),
            explicit=tuple(item for item in plan.explicit if item in members),
        )
        contents = {record.name: _described(plan, record) for record in part.records}
        lines = [f"{item} {text}" for item, text in contents.items()]
        below = digest_of(below, "\n".join(lines), " ".join(sorted(part.explicit)))
        same = names.count(name)
        shown = f"{name} {names[: number + 1].count(name)}" if same > 1 else name
        yield Layer(shown, part, below, contents)


def _described(plan: Plan, record: PackageRecord) -> str:
    locked = plan.locked.get(record.name)
    return f"{record.version} {record.channel} {locked.file.sha256 if locked else record.sha256}"


def _name(target: str) -> str:
    return parse_dependency(target.rpartition("/")[2]).name


class _Graph:
    """Who needs whom among the packages of a plan."""

    def __init__(self, records: Sequence[PackageRecord]) -> None:
        self.records = {record.name: record for record in records}
        self.needs = {record.name: [parse_dependency(text).name for text in record.depends] for record in records}
        self.known: dict[str, set[str]] = {}
        for record in records:
            for word in (record.name, *(parse_dependency(text).name for text in record.provides), *record.groups):
                self.known.setdefault(word, set()).add(record.name)

    def closure(self, target: str) -> set[str]:
        """The packages that stand for a target, with all they need. Versions are the resolver's business."""
        found: set[str] = set()
        pending = [_name(target)]
        while pending:
            new = self.known.get(pending.pop(), set()) - found
            found |= new
            pending += [word for name in new for word in self.needs[name]]
        return found

    def ordered(self, members: set[str]) -> list[str]:
        """`members` with dependencies first; the order follows from them alone, whatever else is planned."""
        found: dict[str, None] = {}
        entered: set[str] = set()

        def visit(name: str) -> None:
            if name in entered:
                return
            entered.add(name)
            for word in sorted(self.needs[name]):
                for other in sorted(self.known.get(word, set()) & members):
                    visit(other)
            found[name] = None

        for name in sorted(members):
            visit(name)
        return list(found)
