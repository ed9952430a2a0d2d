"""The resolver: follows dependencies from what is asked for, tries another provider where one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..records import PackageRecord
from ..relations import Dependency, compare_versions, parse_dependency, satisfies
from .candidates import Candidates, Mapped, plain_version
from .orphans import unneeded
from .values import Alternatives, Index, Resolution, Rules, Wish
from .wishes import Wishes

_ATTEMPTS = 24  # how often another provider is tried before the first answer's problems are told


def resolve(
    indexes: Sequence[Index],
    installed: Mapping[str, PackageRecord],
    wish: Wish,
    *,
    arch: str,
    rules: Rules | None = None,
    prefer: Mapping[str, str] | None = None,
    alternatives: Alternatives = lambda text: None,
    shown: Callable[[str], str] = str,
    mapped: Mapped = plain_version,
) -> Resolution:
    """Solve a wish; `indexes` in order of priority.

    `alternatives` splits a channel's or-groups, first choice first; `shown` writes a version as people know it; `mapped`
    writes a constraint's version as the record's channel does. `prefer` is `Rules(prefer=…)` for short.
    """
    rules = rules or Rules(prefer=prefer or {})
    banned: frozenset[str] = frozenset()
    first: Resolution | None = None
    for _ in range(_ATTEMPTS):
        candidates = Candidates(indexes, rules, arch, alternatives, mapped, banned)
        found = _Resolver(candidates, installed, shown, wish).solve()
        first = first or found
        if not found.problems:
            return found
        other = _another_way(found, banned)
        if other is None:
            return first
        banned |= {other}
    assert first is not None
    return first


def _another_way(found: Resolution, banned: frozenset[str]) -> str | None:
    """A provider that stands in the way and has others beside it."""
    movable = {choice.chosen for choice in found.choices if choice.how != "there" and choice.others}
    for problem in found.problems:
        for name in problem.names:
            if name in movable and name not in banned and name not in found.explicit:
                return name
    return None


class _Resolver(Wishes):
    def solve(self) -> Resolution:
        """Follow the wish to its end."""
        wish = self.wish
        for name in wish.remove:
            self._remove(name)
        for name in wish.reinstall:
            self._reinstall(name)
        for target in wish.declared:
            self._target(target, stays=not wish.upgrade)
        for target in wish.install:
            self._target(target, stays=False)
        if wish.upgrade or wish.downgrade:
            self._upgrade()
        done = 0
        while done < len(self.standing.chosen):
            record = list(self.standing.chosen.values())[done]
            done += 1
            for text in record.depends:
                self._need(text, record)
            if done == len(self.standing.chosen):
                self._left_behind()
        if not self.standing.chosen:
            self._left_behind()
        self._conflicts()
        return self._answer()

    def _answer(self) -> Resolution:
        if self.problems:
            return Resolution(
                problems=tuple(self.problems), choices=tuple(self.choices.values()), explicit=frozenset(self.explicit)
            )
        chosen, after = self.standing.chosen, self.standing.all()
        declared = self._declared()
        asked = {name for name, record in self.installed.items() if record.reason == "explicit"} | self.explicit
        undeclared = sorted(name for name in asked - declared - self._named_now() if name in after) if declared else []
        demote: list[str] = []
        if self.wish.prune:
            gone, _ = unneeded(after, (asked - set(undeclared)) | self._held(after))
            for name in gone:
                self.standing.removed[name] = after.pop(name)
                chosen.pop(name, None)
            demote = [name for name in undeclared if name in after]
            undeclared = []
        orphans, _ = unneeded(after, asked & set(after))
        return Resolution(
            install=tuple(self._ordered()),
            remove=tuple(record for name, record in self.standing.removed.items() if name in self.installed),
            explicit=frozenset(name for name in self.explicit if name in after),
            why={name: self._chain(name) for name in chosen},
            targets=self.targets,
            replaces=tuple(self.replaces),
            choices=tuple(self.choices.values()),
            questions=tuple(self.questions),
            demote=tuple(demote),
            ignored=tuple(sorted(self.ignored.items())),
            undeclared=tuple(undeclared),
            orphans=orphans,
        )

    def _declared(self) -> set[str]:
        return {name for target in self.wish.declared for name in self.targets.get(target, ())}

    def _named_now(self) -> set[str]:
        return {name for target in self.wish.install for name in self.targets.get(target, ())}

    # dependencies

    def _need(self, text: str, by: PackageRecord) -> None:
        wanted = parse_dependency(text)
        if self.standing.satisfier(wanted) is not None:
            return
        found = self.candidates.for_dependency(text, self._there)
        usable = [r for r in found if not self.candidates.refused(r) and r.name not in self.standing.removed]
        for candidate in usable:
            if not self._clashes(candidate):
                rest = [r for r in usable if r.name != candidate.name]
                self._note_choice(wanted.name, by.name, [candidate, *rest], self.candidates.alternatives(text))
                self._choose(candidate, by.name)
                return
        self._unmet(text, wanted, by, found)

    def _unmet(self, text: str, wanted: Dependency, by: PackageRecord, found: Sequence[PackageRecord]) -> None:
        needs = f"{self._show(by)} needs {self._show_dependency(text)}"
        names = (by.name, *(record.name for record in found))
        reasons = [self.candidates.refused(record) for record in found]
        if found and all(reasons):
            kind = "arch" if found[0].arch not in ("any", self.candidates.arch) else "dependency"
            separator = ":" if kind == "arch" else ", but"
            self._problem(kind, f"{needs}{separator} {found[0].name} {reasons[0]}", names=names)
        elif found:
            first = found[reasons.index("")]
            against = self._clashes(first)
            reason = f"conflicts with {against.name}" if against else "is to be removed"
            others = (against.name,) if against else ()
            self._problem("dependency", f"{needs}, but {first.name} {reason}", names=(*others, *names))
        else:
            offered = [self._show(r) for r in self.candidates.named(Dependency(wanted.name))]
            said = f"{needs}, which no channel has" + (f" (there is {', '.join(offered)})" if offered else "")
            self._problem("dependency", said, () if offered else self._near(wanted.name), names)

    def _left_behind(self) -> None:
        """Installed packages whose dependencies the change breaks: upgrade them, take them out too, or say so."""
        if not self.standing.chosen and not self.standing.removed:
            return
        needed: dict[str, list[str]] = {}
        again = True
        while again:
            again = False
            for name, record in sorted(self.installed.items()):
                if name in self.standing.chosen or name in self.standing.removed:
                    continue
                again |= self._broken(name, record, needed)
        for gone, names in sorted(needed.items()):
            self._problem("removal", f"{gone} is needed by {', '.join(dict.fromkeys(names))}", names=(gone, *names))

    def _broken(self, name: str, record: PackageRecord, needed: dict[str, list[str]]) -> bool:
        for text in record.depends:
            wanted = parse_dependency(text)
            if self.standing.satisfier(wanted) or not any(satisfies(old, wanted) for old in self.installed.values()):
                continue
            offered = self.candidates.named(Dependency(name))
            newer = next((r for r in offered if not self.candidates.refused(r)), None)
            if newer and compare_versions(newer.version, record.version) > 0:
                self._choose(newer, "")
                return False
            gone = next((o for o in self.standing.removed if satisfies(self.standing.removed[o], wanted)), "")
            if gone and self.wish.cascade and not self._held([name]):
                self.standing.remove(record)
                return True
            if gone:
                needed.setdefault(gone, []).append(name)
            else:
                said = f"{self._show(record)} needs {self._show_dependency(text)}, which would be replaced"
                self._problem("removal", said, names=(name, wanted.name))
        return False

    # conflicts

    def _clashes(self, candidate: PackageRecord) -> PackageRecord | None:
        """A package chosen or staying that can't be together with `candidate` and doesn't give way to it."""
        for other in (*self.standing.against(candidate), *self.standing.enemies(candidate)):
            if not self._gives_way(other, candidate):
                return other
        return None

    def _gives_way(self, old: PackageRecord, new: PackageRecord) -> bool:
        own = old.name in self.installed and old.name not in self.standing.chosen
        if not own or self._held([old.name]):
            return False
        decided = self.rules.replace.get(old.name)
        if decided is not None:
            return decided == new.name
        if self.wish.prune and old.name not in self._declared():
            return True  # nobody declares it, and what nobody needs goes
        return any(satisfies(old, parse_dependency(text)) for text in new.replaces)

    def _conflicts(self) -> None:
        current = self.standing.all()
        for name in sorted(current):
            record = current[name]
            for other in sorted(self.standing.against(record), key=lambda item: item.name):
                chosen = self.standing.chosen
                if (name not in chosen and other.name not in chosen) or name in self.standing.removed:
                    continue  # both were there before, or one went meanwhile
                for old, new in ((other, record), (record, other)):
                    if new.name in chosen and self._gives_way(old, new):
                        self._replace(new, old)
                        break
                else:
                    pair = " and ".join(sorted((self._show(record), self._show(other))))
                    names = (other.name, name)
                    self._problem(
                        "conflict", f"{pair} can't be together", names=names, step=self._way_out(record, other)
                    )
        if self.standing.removed:
            self._left_behind()

    def _way_out(self, one: PackageRecord, two: PackageRecord) -> str:
        """What to write where one of two at odds is there and the other comes."""
        coming = [record.name for record in (one, two) if record.name in self.standing.chosen]
        staying = [record.name for record in (one, two) if record.name not in self.standing.chosen]
        if len(coming) != 1 or self._held(staying):
            return ""
        old, new = staying[0], coming[0]
        return (
            f'to let {new} take its place: --replace {old}={new}, or {old} = "{new}" under [replace] in packages.toml'
        )
