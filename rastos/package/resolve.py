"""What a change comes to, decided before libalpm sees it: closure, providers, conflicts, architecture, removals.

Pure and deterministic: databases and the installed packages in, a `Resolution` out, or every problem at once. libalpm asks
questions that its Python binding answers with "no", and the binding dies on a conflict; so nothing may be left to ask.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .database import SyncIndex
from .records import PackageRecord
from .relations import Dependency, compare_versions, parse_dependency, satisfies

Alternatives = Callable[[str], tuple[str, ...] | None]


@dataclass(frozen=True)
class Wish:
    """What is asked for; `install` takes names, `channel/name`, `name>=version`, virtual names and groups."""

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    upgrade: bool = False


@dataclass(frozen=True)
class Problem:
    """Why a wish can't be met: kind (missing, dependency, conflict, arch, removal), what exactly, near names."""

    kind: str
    text: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = " or ".join(f"'{name}'" for name in self.near)
        return f"{self.text}; did you mean {hint}?" if hint else self.text


@dataclass(frozen=True)
class Resolution:
    """Packages to bring in (dependency order) and to take out; `explicit` names were asked for, `why` their chains."""

    install: tuple[PackageRecord, ...] = ()
    remove: tuple[PackageRecord, ...] = ()
    explicit: frozenset[str] = frozenset()
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def resolve(
    indexes: Sequence[SyncIndex],
    installed: Mapping[str, PackageRecord],
    wish: Wish,
    *,
    arch: str,
    prefer: Mapping[str, str] | None = None,
    alternatives: Alternatives = lambda text: None,
    shown: Callable[[str], str] = str,
) -> Resolution:
    """Solve a wish; `indexes` in order of priority.

    `alternatives` splits a channel's or-groups, first choice first; `shown` writes a version as people know it.
    """
    return _Resolver(indexes, installed, arch, prefer or {}, alternatives, shown).solve(wish)


class _Resolver:
    def __init__(
        self,
        indexes: Sequence[SyncIndex],
        installed: Mapping[str, PackageRecord],
        arch: str,
        prefer: Mapping[str, str],
        alternatives: Alternatives,
        shown: Callable[[str], str],
    ) -> None:
        self.indexes = indexes
        self.installed = installed
        self.arch = arch
        self.prefer = prefer
        self.alternatives = alternatives
        self.shown = shown
        self.chosen: dict[str, PackageRecord] = {}
        self.parent: dict[str, str] = {}
        self.explicit: set[str] = set()
        self.removed: dict[str, PackageRecord] = {}
        self.problems: dict[Problem, None] = {}
        # name or provided name -> packages of the tree as it will be
        self.standing: dict[str, dict[str, PackageRecord]] = {}
        # name in somebody's conflicts -> who says so (may have fallen since)
        self.enemies: dict[str, list[PackageRecord]] = {}
        for record in installed.values():
            self._stand(record)

    def solve(self, wish: Wish) -> Resolution:
        for name in wish.remove:
            self._remove(name)
        for target in wish.install:
            self._target(target)
        if wish.upgrade:
            self._upgrade()
        done = 0
        while done < len(self.chosen):
            record = list(self.chosen.values())[done]
            done += 1
            for text in record.depends:
                self._need(text, record)
            if done == len(self.chosen):
                self._left_behind()
        self._conflicts()
        if self.problems:
            return Resolution(problems=tuple(self.problems))
        return Resolution(
            install=tuple(self._ordered()),
            remove=tuple(self.removed.values()),
            explicit=frozenset(self.explicit),
            why={name: self._chain(name) for name in self.chosen},
        )

    # what stands in the tree

    def _stand(self, record: PackageRecord) -> None:
        for name in _names(record):
            self.standing.setdefault(name, {})[record.name] = record
        for text in record.conflicts:
            self.enemies.setdefault(parse_dependency(text).name, []).append(record)

    def _fall(self, record: PackageRecord) -> None:
        for name in _names(record):
            self.standing.get(name, {}).pop(record.name, None)

    def _satisfier(self, wanted: Dependency) -> PackageRecord | None:
        found = self.standing.get(wanted.name, {})
        return next((found[name] for name in sorted(found) if satisfies(found[name], wanted)), None)

    def _choose(self, record: PackageRecord, parent: str) -> None:
        old = self.chosen.get(record.name) or self.installed.get(record.name)
        if old is not None:
            self._fall(old)
        self.removed.pop(record.name, None)
        self.chosen[record.name] = record
        self.parent.setdefault(record.name, parent)
        self._stand(record)

    # wishes

    def _remove(self, name: str) -> None:
        record = self.installed.get(name)
        if record is None:
            close = tuple(difflib.get_close_matches(name, self.installed, n=3))
            self._problem("missing", f"{name} is not installed", close)
            return
        self.removed[name] = record
        self._fall(record)

    def _target(self, text: str) -> None:
        channel, slash, rest = text.partition("/")
        indexes = [index for index in self.indexes if index.channel == channel] if slash else list(self.indexes)
        wanted = parse_dependency(rest if slash else text)
        found = [r for r in self._named(wanted, indexes)] or self._providing(wanted, indexes)
        usable = [record for record in found if self._fits(record)]
        if not usable:
            members = self._group(wanted.name, indexes) if not found else []
            if members:
                for member in members:
                    self.explicit.add(member.name)
                    self._take(member)
            else:
                self._unfound(text, wanted, found, indexes)
            return
        chosen = self._preferred(wanted.name, usable)
        self.explicit.add(chosen.name)
        self._take(chosen)

    def _take(self, record: PackageRecord) -> None:
        there = self.installed.get(record.name)
        if there is None or record.name in self.removed or compare_versions(there.version, record.version) != 0:
            self._choose(record, "")

    def _unfound(
        self, text: str, wanted: Dependency, found: Sequence[PackageRecord], indexes: Sequence[SyncIndex]
    ) -> None:
        if found:
            self._problem("arch", f"{found[0].name} is for {found[0].arch}, this tree is {self.arch}")
        elif not indexes:
            self._problem(
                "missing", f"there is no channel '{text.partition('/')[0]}'", tuple(i.channel for i in self.indexes)
            )
        else:
            offered = [self._show(r) for r in self._named(Dependency(wanted.name), indexes)]
            said = f"no channel has {self._show_dependency(text)}" + (f", only {', '.join(offered)}" if offered else "")
            self._problem("missing", said, () if offered else self._near(wanted.name))

    def _upgrade(self) -> None:
        for name, record in sorted(self.installed.items()):
            offered = self._named(Dependency(name), self.indexes)
            usable = next((item for item in offered if self._fits(item)), None)
            if usable and name not in self.removed and compare_versions(usable.version, record.version) > 0:
                if name not in self.chosen:
                    self._choose(usable, "")

    # dependencies

    def _need(self, text: str, by: PackageRecord) -> None:
        wanted = parse_dependency(text)
        if self._satisfier(wanted) is not None:
            return
        candidates = self._candidates(text, wanted)
        for candidate in candidates:
            if self._fits(candidate) and not self._clashes(candidate) and not self._locked(candidate):
                self._choose(candidate, by.name)
                return
        shown = self._show_dependency(text)
        if candidates and not any(self._fits(candidate) for candidate in candidates):
            wrong = candidates[0]
            self._problem(
                "arch", f"{self._show(by)} needs {shown}: {wrong.name} is for {wrong.arch}, this tree is {self.arch}"
            )
        elif candidates:
            against = self._clashes(candidates[0])
            reason = f"conflicts with {against.name}" if against else "is to be removed"
            self._problem("dependency", f"{self._show(by)} needs {shown}, but {candidates[0].name} {reason}")
        else:
            offered = [self._show(r) for r in self._named(Dependency(wanted.name), self.indexes)]
            said = f"{self._show(by)} needs {shown}, which no channel has"
            said += f" (there is {', '.join(offered)})" if offered else ""
            self._problem("dependency", said, () if offered else self._near(wanted.name))

    def _candidates(self, text: str, wanted: Dependency) -> list[PackageRecord]:
        """Who may meet a dependency, best first."""
        parts = self.alternatives(text)
        if not parts:
            named = self._named(wanted, self.indexes)
            first = named if wanted.name not in self.prefer else []
            return [*first, *self._sorted(wanted.name, [*named, *self._providing(wanted, self.indexes)])]
        found: dict[tuple[str, str], PackageRecord] = {}
        for part in parts:
            for record in self._candidates(part, parse_dependency(part)):
                found.setdefault((record.channel, record.name), record)
        return list(found.values())

    def _named(self, wanted: Dependency, indexes: Iterable[SyncIndex]) -> list[PackageRecord]:
        records = [index.record(wanted.name) for index in indexes if wanted.name in index]
        return [record for record in records if satisfies(record, wanted)]

    def _providing(self, wanted: Dependency, indexes: Iterable[SyncIndex]) -> list[PackageRecord]:
        records = [index.record(name) for index in indexes for name in index.providers(wanted.name)]
        return [record for record in records if satisfies(record, wanted)]

    def _sorted(self, virtual: str, records: Sequence[PackageRecord]) -> list[PackageRecord]:
        order = {index.channel: number for number, index in enumerate(self.indexes)}
        favourite = self.prefer.get(virtual, "")
        return sorted(
            records,
            key=lambda r: (
                r.name not in self.chosen and r.name not in self.installed,
                r.name != favourite,
                r.name != virtual,
                order.get(r.channel, 0),
                r.name,
            ),
        )

    def _preferred(self, virtual: str, records: Sequence[PackageRecord]) -> PackageRecord:
        return self._sorted(virtual, records)[0]

    def _group(self, name: str, indexes: Sequence[SyncIndex]) -> list[PackageRecord]:
        found: dict[str, PackageRecord] = {}
        for index in indexes:
            for member in index.group(name):
                if self._fits(member):
                    found.setdefault(member.name, member)
        return [found[key] for key in sorted(found)]

    def _fits(self, record: PackageRecord) -> bool:
        return record.arch in ("any", self.arch)

    def _locked(self, record: PackageRecord) -> bool:
        return record.name in self.removed

    def _left_behind(self) -> None:
        """Installed packages whose dependencies the change breaks: upgrade them, or say so."""
        if not self.chosen and not self.removed:
            return
        needed: dict[str, list[str]] = {}
        for name, record in sorted(self.installed.items()):
            if name in self.chosen or name in self.removed:
                continue
            for text in record.depends:
                wanted = parse_dependency(text)
                if self._satisfier(wanted) or not any(satisfies(old, wanted) for old in self.installed.values()):
                    continue
                newer = next((r for r in self._named(Dependency(name), self.indexes) if self._fits(r)), None)
                if newer and compare_versions(newer.version, record.version) > 0:
                    self._choose(newer, "")
                    break
                gone = next((old for old in self.removed if satisfies(self.removed[old], wanted)), "")
                if gone:
                    needed.setdefault(gone, []).append(name)
                else:
                    said = f"{self._show(record)} needs {self._show_dependency(text)}, which would be replaced"
                    self._problem("removal", said)
        for gone, names in sorted(needed.items()):
            self._problem("removal", f"{gone} is needed by {', '.join(dict.fromkeys(names))}")

    # conflicts

    def _against(self, record: PackageRecord) -> Iterable[PackageRecord]:
        """Packages of the tree that `record` names as conflicts."""
        for text in record.conflicts:
            wanted = parse_dependency(text)
            for other in self.standing.get(wanted.name, {}).values():
                if other.name != record.name and satisfies(other, wanted):
                    yield other

    def _clashes(self, candidate: PackageRecord) -> PackageRecord | None:
        """A package chosen or staying that can't be together with `candidate` and isn't replaced by it."""
        for other in self._against(candidate):
            if not self._replaces(candidate, other):
                return other
        for name in _names(candidate):
            for other in self.enemies.get(name, ()):
                stands = self.standing.get(other.name, {}).get(other.name) is other and other.name != candidate.name
                if stands and any(satisfies(candidate, parse_dependency(text)) for text in other.conflicts):
                    return other
        return None

    def _replaces(self, new: PackageRecord, old: PackageRecord) -> bool:
        own = old.name in self.installed and old.name not in self.chosen
        return own and any(satisfies(old, parse_dependency(text)) for text in new.replaces)

    def _conflicts(self) -> None:
        current = {record.name: record for group in self.standing.values() for record in group.values()}
        for name in sorted(current):
            record = current[name]
            for other in sorted(self._against(record), key=lambda item: item.name):
                if name not in self.chosen and other.name not in self.chosen:
                    continue  # both were there before
                if self._replaces(record, other):
                    self.removed[other.name] = other
                    self._fall(other)
                    continue
                pair = " and ".join(sorted((self._show(record), self._show(other))))
                self._problem("conflict", f"{pair} can't be together")
        if self.removed:
            self._left_behind()

    # the answer

    def _show(self, record: PackageRecord) -> str:
        return f"{record.name} {self.shown(record.version)}"

    def _show_dependency(self, text: str) -> str:
        parts = [parse_dependency(part) for part in self.alternatives(text) or (text,)]
        return " or ".join(part.name + part.operator + self.shown(part.version) for part in parts)

    def _problem(self, kind: str, text: str, near: tuple[str, ...] = ()) -> None:
        self.problems[Problem(kind, text, near)] = None

    def _near(self, name: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for index in self.indexes:
            found.update(dict.fromkeys(index.near(name)))
        return tuple(difflib.get_close_matches(name, found, n=3, cutoff=0.5))

    def _chain(self, name: str) -> tuple[str, ...]:
        chain = [name]
        while self.parent.get(chain[0]):
            chain.insert(0, self.parent[chain[0]])
        return tuple(chain)

    def _ordered(self) -> list[PackageRecord]:
        """Dependencies before dependents; circles are cut where they are met first."""
        order: dict[str, PackageRecord] = {}
        seen: set[str] = set()
        for start in sorted(self.chosen):
            stack: list[tuple[str, list[str]]] = [(start, self._needs(start))] if start not in seen else []
            seen.add(start)
            while stack:
                name, rest = stack[-1]
                if rest:
                    following = rest.pop(0)
                    if following not in seen:
                        seen.add(following)
                        stack.append((following, self._needs(following)))
                else:
                    stack.pop()
                    order[name] = self.chosen[name]
        return list(order.values())

    def _needs(self, name: str) -> list[str]:
        found = (self._satisfier(parse_dependency(text)) for text in self.chosen[name].depends)
        return [record.name for record in found if record is not None and record.name in self.chosen]


def _names(record: PackageRecord) -> set[str]:
    return {record.name, *(parse_dependency(text).name for text in record.provides)}
