"""A change in the making: the tree as it will be, and everything said on the way."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ..records import PackageRecord
from ..relations import Dependency, parse_dependency
from .candidates import Candidates
from .standing import Standing
from .values import Choice, Problem, Question, Wish


class Draft:
    """The state that wishes and dependencies work on."""

    def __init__(
        self, candidates: Candidates, installed: Mapping[str, PackageRecord], shown: Callable[[str], str], wish: Wish
    ) -> None:
        self.wish = wish
        self.candidates = candidates
        self.rules = candidates.rules
        self.indexes = candidates.indexes
        self.installed = installed
        self.shown = shown
        self.standing = Standing(installed)
        self.parent: dict[str, str] = {}
        self.explicit: set[str] = set()
        self.targets: dict[str, tuple[str, ...]] = {}
        self.problems: dict[Problem, None] = {}
        self.choices: dict[tuple[str, str], Choice] = {}
        self.questions: dict[Question, None] = {}
        self.replaces: dict[tuple[str, str], None] = {}
        self.ignored: dict[str, str] = {}
        self.reinstall: set[str] = set()

    def _held(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if any(fnmatchcase(name, text) for text in self.rules.hold)}

    def _there(self, name: str) -> bool:
        return name in self.standing.chosen or (name in self.installed and name not in self.standing.removed)

    def _choose(self, record: PackageRecord, parent: str) -> None:
        self.standing.choose(record)
        self.parent.setdefault(record.name, parent)

    def _replace(self, new: PackageRecord, old: PackageRecord) -> None:
        """The successor takes the old one's place, its reason included."""
        self.standing.remove(old)
        self.replaces[new.name, old.name] = None
        if old.reason == "explicit":
            self.explicit.add(new.name)

    def _note_choice(
        self, wanted: str, by: str, ordered: Sequence[PackageRecord], parts: tuple[str, ...] | None
    ) -> None:
        """Remember that there was a choice; ask where neither the rules nor the packager decide it."""
        chosen = ordered[0].name
        others = tuple(dict.fromkeys(r.name for r in ordered[1:] if r.name != chosen))
        if not others:
            return
        part_names = [parse_dependency(part).name for part in parts or ()]
        if self._there(chosen):
            how = "there"
        elif self.rules.prefer.get(wanted) == chosen or chosen in (self.rules.prefer.get(p) for p in part_names):
            how = "prefer"
        elif chosen == wanted or chosen in part_names or any(self._alone(chosen, name) for name in part_names):
            how = "order"
        else:
            how = "first"
            subject = next(
                (name for name in part_names if len(self.candidates.providing(Dependency(name))) > 1), wanted
            )
            who = f" (for {by})" if by else ""
            text = f"{subject} is provided by {', '.join((chosen, *others))}{who}"
            self.questions[Question("provider", subject, (chosen, *others), text)] = None
        self.choices[wanted, by] = Choice(wanted, by, chosen, others, how)

    def _alone(self, chosen: str, name: str) -> bool:
        """Whether a virtual name leaves no choice: one package provides it."""
        return {record.name for record in self.candidates.providing(Dependency(name))} == {chosen}

    def _show(self, record: PackageRecord) -> str:
        return f"{record.name} {self.shown(record.version)}"

    def _show_dependency(self, text: str) -> str:
        parts = [parse_dependency(part) for part in self.candidates.alternatives(text) or (text,)]
        return " or ".join(part.name + part.operator + self.shown(part.version) for part in parts)

    def _problem(
        self, kind: str, text: str, near: tuple[str, ...] = (), names: tuple[str, ...] = (), step: str = ""
    ) -> None:
        self.problems[Problem(kind, text, near, names, step)] = None

    def _near(self, name: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for index in self.indexes:
            found.update(dict.fromkeys(index.near(name)))
        return tuple(difflib.get_close_matches(name, found, n=3, cutoff=0.5))

    def _chain(self, name: str) -> tuple[str, ...]:
        chain = [name]
        while self.parent.get(chain[0]) and self.parent[chain[0]] not in chain:
            chain.insert(0, self.parent[chain[0]])
        return tuple(chain)

    def _ordered(self) -> list[PackageRecord]:
        """Dependencies before dependents; circles are cut where they are met first."""
        order: dict[str, PackageRecord] = {}
        seen: set[str] = set()
        chosen = self.standing.chosen
        for start in sorted(chosen):
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
                    order[name] = chosen[name]
        return list(order.values())

    def _needs(self, name: str) -> list[str]:
        chosen = self.standing.chosen
        found = (self.standing.satisfier(parse_dependency(text)) for text in chosen[name].depends)
        return [record.name for record in found if record is not None and record.name in chosen]
