"""What would satisfy a request that Kconfig drops: the fewest further lines, searched in the model and tried on it.

For each part of a dependency that doesn't hold an assignment is looked for, recursively, of symbols that have a prompt
(or of those that select one that has none); the cheapest that the model confirms is the answer. Symbols that somebody
asked for keep what was asked; where that isn't possible, whose request stands in the way is the answer.
Runs inside `kconfig_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import kconfiglib

KEPT = 6  # candidates kept at each step of the search
DEPTH = 8  # dependencies of dependencies
SELECTORS = 40  # who selects a symbol: looked at
CONFLICTS = 3  # requests in the way: named
_LEVEL = {"n": 0, "m": 1, "y": 2}

Lines = dict[str, str]


@dataclass(frozen=True)
class Fix:
    """Lines to add, requests that they would change ("NAME (origin)"), or why there is none."""

    lines: tuple[tuple[str, str], ...] = ()
    breaks: tuple[str, ...] = ()
    note: str = ""


def conjuncts(expression: Any) -> list[Any]:
    """A AND B AND C as [A, B, C]."""
    return _flat(expression, kconfiglib.AND)


def disjuncts(expression: Any) -> list[Any]:
    """A OR B OR C as [A, B, C]."""
    return _flat(expression, kconfiglib.OR)


def _flat(expression: Any, operator: int) -> list[Any]:
    found, pending = [], [expression]
    while pending:
        item = pending.pop()
        if isinstance(item, tuple) and item[0] == operator:
            pending += [item[2], item[1]]
        else:
            found.append(item)
    return found


def line(name: str, value: str) -> str:
    """As in a fragment."""
    return f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}"


def turn_off_the_unmentioned(model: Any) -> None:
    """What allnoconfig does: an option that becomes visible and that nobody asked for is off, whatever its default."""
    for symbol in model.unique_defined_syms:
        truth = symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE)
        if truth and symbol.user_value is None and symbol.choice is None and any(node.prompt for node in symbol.nodes):
            symbol.set_value(0)


@dataclass
class Search:
    """Fixes within one configuration; `requests` are symbol → (value, origin)."""

    model: Any
    requests: Mapping[str, tuple[str, str]]
    _conflicts: list[str] = field(default_factory=list)

    def fix(self, symbol: Any, wanted: str) -> Fix:
        """The fewest lines that give `symbol` the value `wanted`."""
        self._conflicts = []
        truth = symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE)
        if wanted == "n":
            candidates = self._off(symbol, (), own=True)
        elif truth:
            candidates = self._on(symbol, _LEVEL.get(wanted, 2), (), own=True)
        else:
            candidates = [lines for node in symbol.nodes if node.prompt for lines in self._meet(node.prompt[1], 1, ())]
        second: Fix | None = None
        for lines in _cheapest(candidates):
            held, broken = self._tried(symbol, wanted, lines)
            if not held:
                continue
            fewest = self._fewest(symbol, wanted, lines, broken)
            fewest.pop(symbol.name, None)
            if not fewest and not broken:
                continue
            if not broken:
                return Fix(tuple(fewest.items()))
            second = second or Fix(tuple(fewest.items()), broken)
        if second:
            return second
        return Fix(note="; ".join(list(dict.fromkeys(self._conflicts))[:CONFLICTS]))

    # what would make an expression hold

    def _meet(self, expression: Any, need: int, seen: tuple[str, ...]) -> list[Lines]:
        if kconfiglib.expr_value(expression) >= need:
            return [{}]
        if isinstance(expression, kconfiglib.Choice):
            prompts = [node.prompt[1] for node in expression.nodes if node.prompt]
            return _cheapest(lines for prompt in prompts for lines in self._meet(prompt, need, seen))
        if not isinstance(expression, tuple):
            return self._on(expression, need, seen)
        operator = expression[0]
        if operator == kconfiglib.AND:
            return self._all(conjuncts(expression), lambda part: self._meet(part, need, seen))
        if operator == kconfiglib.OR:
            return _cheapest(lines for part in disjuncts(expression) for lines in self._meet(part, need, seen))
        if operator == kconfiglib.NOT:
            return self._unmeet(expression[1], seen)
        return self._compare(*expression, need=need, seen=seen)

    def _unmeet(self, expression: Any, seen: tuple[str, ...]) -> list[Lines]:
        if kconfiglib.expr_value(expression) == 0:
            return [{}]
        if not isinstance(expression, tuple):
            return self._off(expression, seen) if isinstance(expression, kconfiglib.Symbol) else []
        operator = expression[0]
        if operator == kconfiglib.AND:
            return _cheapest(lines for part in conjuncts(expression) for lines in self._unmeet(part, seen))
        if operator == kconfiglib.OR:
            return self._all(disjuncts(expression), lambda part: self._unmeet(part, seen))
        return self._meet(expression[1], 2, seen) if operator == kconfiglib.NOT else []

    def _all(self, parts: list[Any], meet: Callable[[Any], list[Lines]]) -> list[Lines]:
        whole: list[Lines] = [{}]
        for part in parts:
            ways = meet(part)
            whole = _cheapest(both for lines in whole for way in ways if (both := _joined(lines, way)) is not None)
        return whole  # gone through to the end even when empty: every request in the way is named

    def _compare(self, operator: int, left: Any, right: Any, *, need: int, seen: tuple[str, ...]) -> list[Lines]:
        if not (isinstance(left, kconfiglib.Symbol) and right.is_constant):
            return []
        value = right.str_value
        if left.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
            if (operator, value) in ((kconfiglib.EQUAL, "n"), (kconfiglib.UNEQUAL, "y")):
                return self._off(left, seen)
            if operator in (kconfiglib.EQUAL, kconfiglib.UNEQUAL):
                return self._on(left, 1 if value == "m" else 2 if operator == kconfiglib.EQUAL else need, seen)
        elif operator == kconfiglib.EQUAL and any(node.prompt for node in left.nodes):
            if not self._is_asked(left.name):
                return [{left.name: f'"{value}"' if left.orig_type == kconfiglib.STRING else value}]
        return []

    def _is_asked(self, name: str) -> bool:
        """Whether a request fixes this symbol; then that is what stands in the way."""
        if name not in self.requests:
            return False
        value, origin = self.requests[name]
        self._conflicts.append(f"{origin} asks for {line(name, value)}")
        return True

    # what would turn a symbol on or off

    def _on(self, symbol: Any, need: int, seen: tuple[str, ...], *, own: bool = False) -> list[Lines]:
        if symbol.tri_value >= need and not own:
            return [{}]
        if not symbol.nodes or symbol.name in seen or len(seen) > DEPTH:
            return []
        asked = self.requests.get(symbol.name)
        if not own and asked is not None and _LEVEL.get(asked[0], 2) < need:
            self._is_asked(symbol.name)
            return []
        seen = (*seen, symbol.name)
        found: list[Lines] = []
        for node in symbol.nodes:
            if node.prompt:
                level = need if symbol.orig_type == kconfiglib.TRISTATE else 1
                ways = self._meet(node.prompt[1], level, seen)
                found += [{**way, **self._chosen(symbol, need)} for way in ways if not self._refused(symbol)]
        modular = need == 1 and symbol.orig_type == kconfiglib.TRISTATE
        if own and modular and self.model.modules.tri_value == 0:
            found = [{**way, **lines} for lines in found for way in self._on(self.model.modules, 2, seen)]
        if not found and not any(node.prompt for node in symbol.nodes):
            others = [term for term in disjuncts(symbol.rev_dep) if term is not self.model.n][:SELECTORS]
            found = [lines for term in others for lines in self._meet(term, need, seen)]
            for value, condition in symbol.defaults:
                found += self._all([condition, value], lambda part: self._meet(part, need, seen))
        return _cheapest(found)

    def _chosen(self, symbol: Any, need: int) -> Lines:
        return {symbol.name: "m" if need == 1 and symbol.type == kconfiglib.TRISTATE else "y"}

    def _refused(self, symbol: Any) -> bool:
        """Whether another member of its choice was asked for."""
        if symbol.choice is None:
            return False
        others = [item.name for item in symbol.choice.syms if item is not symbol]
        rival = next((name for name in others if self.requests.get(name, ("n",))[0] == "y"), None)
        return rival is not None and self._is_asked(rival)

    def _off(self, symbol: Any, seen: tuple[str, ...], *, own: bool = False) -> list[Lines]:
        if symbol.tri_value == 0:
            return [{}]
        if not symbol.nodes or symbol.name in seen or len(seen) > DEPTH:
            return []
        if not own and self.requests.get(symbol.name, ("n",))[0] != "n":
            self._is_asked(symbol.name)
            return []
        seen = (*seen, symbol.name)
        selecting = [term for term in disjuncts(symbol.rev_dep) if kconfiglib.expr_value(term) > 0]
        ways = self._all(selecting, lambda term: self._unmeet(term, seen))
        return _cheapest({**way, symbol.name: "n"} for way in ways)

    # trying it

    def _tried(self, symbol: Any, wanted: str, lines: Lines) -> tuple[bool, tuple[str, ...]]:
        """Whether `symbol` gets `wanted` with these lines, and which other requests would no longer be fulfilled."""
        before = self._fulfilled(symbol.name)
        changed = {**lines, symbol.name: wanted.strip('"')}
        memory = [(self.model.syms[name], self.model.syms[name].user_value) for name in changed]
        choices = [(item.choice, item.choice.user_selection) for item, _ in memory if item.choice is not None]
        for name, value in changed.items():
            self.model.syms[name].set_value(value.strip('"'))
        held = symbol.str_value == wanted.strip('"')
        broken = before - self._fulfilled(symbol.name) if held else set()
        for item, value in memory:
            if value is None:
                item.unset_value()
            else:
                item.set_value(value)
        for choice, selection in choices:
            if selection is None:
                choice.unset_value()
            else:
                selection.set_value(2)
        return held, tuple(f"{name} ({self.requests[name][1]})" for name in sorted(broken))

    def _fulfilled(self, without: str) -> set[str]:
        found = set()
        for name, (value, _) in self.requests.items():
            item = self.model.syms.get(name)
            if name != without and item is not None and item.nodes and item.str_value == value.strip('"'):
                found.add(name)
        return found

    def _fewest(self, symbol: Any, wanted: str, lines: Lines, broken: tuple[str, ...]) -> Lines:
        """Without the lines that nothing hangs on."""
        kept = dict(lines)
        for name in lines:
            fewer = {other: value for other, value in kept.items() if other != name}
            held, also = self._tried(symbol, wanted, fewer)
            if held and set(also) <= set(broken):
                kept = fewer
        return kept


def _joined(one: Lines, other: Lines) -> Lines | None:
    """Both, where they agree; what is a module for one and built in for the other is built in."""
    both = dict(one)
    for name, value in other.items():
        known = both.get(name, value)
        if known != value and {known, value} != {"m", "y"}:
            return None
        both[name] = value if known == value else "y"
    return both


def _cheapest(candidates: Iterable[Lines]) -> list[Lines]:
    """The shortest few, each once."""
    unique = {tuple(sorted(lines.items())): lines for lines in candidates}
    return sorted(unique.values(), key=len)[:KEPT]
