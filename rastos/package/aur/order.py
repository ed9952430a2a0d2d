"""In which order recipes are built, and where each dependency comes from. Pure: what is known comes in as functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rastos.errors import UserError

from ..records import PackageRecord
from ..relations import Dependency, parse_dependency, satisfies
from .rpc import AurPackage

Lookup = Callable[[Iterable[str]], Mapping[str, AurPackage]]
Providers = Callable[[str], Sequence[AurPackage]]
InRepositories = Callable[[Dependency], str]


@dataclass(frozen=True)
class BuildStep:
    """One recipe: the packages wanted of it, what it needs from repositories, and from recipes built before."""

    base: str
    packages: tuple[str, ...]
    version: str
    from_repositories: tuple[str, ...] = ()
    from_aur: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildPlan:
    """Every recipe, dependencies first."""

    steps: tuple[BuildStep, ...]


@dataclass
class _Node:
    package: AurPackage
    wanted: dict[str, None] = field(default_factory=dict)
    repositories: dict[str, None] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    why: tuple[str, ...] = ()


def plan_builds(
    names: Sequence[str],
    lookup: Lookup,
    providers: Providers,
    in_repositories: InRepositories,
    *,
    prefer: Mapping[str, str] | None = None,
) -> BuildPlan:
    """The recipes that `names` come to. `in_repositories` gives the package of a repository that meets a dependency, or "".

    UserError: a name is nowhere, a version can't be met, several provide a name and `prefer` doesn't say which, or recipes
    need each other in a circle (which is named).
    """
    return _Planner(lookup, providers, in_repositories, prefer or {}).plan(names)


class _Planner:
    def __init__(
        self, lookup: Lookup, providers: Providers, in_repositories: InRepositories, prefer: Mapping[str, str]
    ) -> None:
        self.lookup = lookup
        self.providers = providers
        self.in_repositories = in_repositories
        self.prefer = prefer
        self.nodes: dict[str, _Node] = {}
        self.chosen: dict[str, AurPackage] = {}

    def plan(self, names: Sequence[str]) -> BuildPlan:
        found = self.lookup(names)
        missing = [name for name in names if name not in found]
        if missing:
            step = "look for it: `rastos package aur search WORD`"
            raise UserError(f"the AUR has no package '{missing[0]}'", next_step=step)
        for name in names:
            self._take(found[name], ())
        return BuildPlan(tuple(self._ordered()))

    def _take(self, package: AurPackage, why: tuple[str, ...]) -> None:
        node = self.nodes.get(package.base)
        known = node is not None
        if node is None:
            node = self.nodes[package.base] = _Node(package, why=why)
        node.wanted[package.name] = None
        if known and package.name in self.chosen:
            return
        self.chosen[package.name] = package
        # names are asked for together: one question for all of a recipe's dependencies
        texts = dict.fromkeys((*package.depends, *package.makedepends, *package.checkdepends))
        wanted = {text: parse_dependency(text) for text in texts}
        outside = {text: item for text, item in wanted.items() if not self._from_repository(node, item)}
        self.lookup([item.name for item in outside.values()])
        for item in outside.values():
            other = self._meeting(item, package)
            if other.base != package.base:
                node.needs[other.base] = item.name
            self._take(other, (*why, package.name))

    def _from_repository(self, node: _Node, wanted: Dependency) -> bool:
        found = self.in_repositories(wanted)
        if found:
            node.repositories[found] = None
        return bool(found)

    def _meeting(self, wanted: Dependency, by: AurPackage) -> AurPackage:
        for package in self.chosen.values():
            if satisfies(_record(package), wanted):
                return package
        named = self.lookup([wanted.name]).get(wanted.name)
        if named is not None and satisfies(_record(named), wanted):
            return named
        offered = [item for item in self.providers(wanted.name) if satisfies(_record(item), wanted)]
        favourite = [item for item in offered if item.name == self.prefer.get(wanted.name)]
        if len(offered) == 1 or favourite:
            return (favourite or offered)[0]
        if offered:
            listed = ", ".join(item.name for item in offered)
            raise UserError(
                f"{by.name} needs {wanted.name}, which {listed} provide",
                next_step=f'say which under [prefer] in packages.toml: {wanted.name} = "{offered[0].name}"',
            )
        text = wanted.name + wanted.operator + wanted.version
        there = f"; the AUR has {named.name} {named.version}" if named else ""
        raise UserError(
            f"{by.name} needs {text}, which neither repositories nor the AUR have{there}",
            next_step="ask its maintainer, or declare a channel that has it",
        )

    def _ordered(self) -> list[BuildStep]:
        done: dict[str, BuildStep] = {}
        trail: list[str] = []

        def visit(base: str) -> None:
            if base in done:
                return
            if base in trail:
                circle = " → ".join([*trail[trail.index(base) :], base])
                raise UserError(
                    f"these recipes need each other: {circle}",
                    next_step="build one of them by hand without its checks, and add it with `rastos package repo add`",
                )
            trail.append(base)
            node = self.nodes[base]
            for other in node.needs:
                visit(other)
            trail.pop()
            done[base] = BuildStep(
                base=base,
                packages=tuple(node.wanted),
                version=node.package.version,
                from_repositories=tuple(node.repositories),
                from_aur=tuple(node.needs.values()),
                why=node.why,
            )

        for base in self.nodes:
            visit(base)
        return list(done.values())


def _record(package: AurPackage) -> PackageRecord:
    return PackageRecord(package.name, package.version, provides=package.provides)
