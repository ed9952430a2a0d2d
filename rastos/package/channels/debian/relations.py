"""Debian relations (deb-relations: `a (>= 1) | b, c:any`) as libalpm dependency strings.

A single relation becomes `name>=version` with the mapped version. Alternatives become one virtual name that every
package satisfying one of them provides:

    default-mta | exim4 (>= 4.90)   ->   any:default-mta|exim4{ge}b4f90b00b

`alternatives_of` takes such a name apart again, first choice first, so that a resolver can prefer what Debian prefers.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

from .versions import encode

_ANY = "any:"
# qualifiers that every package of a tree of one architecture meets
_NATIVE = ("native", "amd64", "all")
_OPERATORS = {"<<": "<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">", "<": "<=", ">": ">="}
_WORDS = {"<": "lt", "<=": "le", "=": "eq", ">=": "ge", ">": "gt"}
_SIGNS = {word: sign for sign, word in _WORDS.items()}
_RELATION = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|>=|>>|=|<|>)\s*([^\s)]+)\s*\))?"
    r"\s*(?:\[[^]]*\])?\s*(?:<[^>]*>)*\s*"
)


@dataclass(frozen=True, slots=True)
class Relation:
    """One name, with an operator of libalpm (`<`, `<=`, `=`, `>=`, `>`) and a mapped version, or both empty."""

    name: str
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        return self.name + self.operator + self.version


@lru_cache(maxsize=100_000)
def parse(field: str) -> tuple[tuple[Relation, ...], ...]:
    """A relation field as a conjunction of alternatives; ValueError where it is malformed."""
    groups = []
    for clause in field.split(","):
        if not clause.strip():
            continue
        group = []
        for text in clause.split("|"):
            found = _RELATION.fullmatch(text)
            if not found:
                raise ValueError(f"not a Debian relation: {text.strip()!r}")
            name, qualifier, operator, version = found.groups()
            if qualifier and qualifier not in _NATIVE:
                name = f"{name}:{qualifier}"
            relation = Relation(name, _OPERATORS[operator], encode(version)) if operator else Relation(name)
            if relation not in group:
                group.append(relation)
        groups.append(tuple(group))
    return tuple(groups)


def group_name(group: tuple[Relation, ...]) -> str:
    """The dependency string for one group: the relation itself, or the virtual name of several alternatives."""
    if len(group) == 1:
        return str(group[0])
    words = [f"{r.name}{{{_WORDS[r.operator]}}}{r.version}" if r.operator else r.name for r in group]
    return _ANY + "|".join(words).replace(":", ";")


def alternatives_of(depend: str) -> tuple[str, ...] | None:
    """The alternatives a virtual dependency stands for as libalpm strings, preferred first; None if it is none."""
    if not depend.startswith(_ANY):
        return None
    found = []
    for text in depend.removeprefix(_ANY).replace(";", ":").split("|"):
        name, brace, rest = text.partition("{")
        word, _, version = rest.partition("}")
        found.append(name + _SIGNS[word] + version if brace else name)
    return tuple(found)


def depends(*fields: str, allowed: Set[str] = frozenset()) -> tuple[str, ...]:
    """Depends and Pre-Depends as dependency strings, without repetition, in order.

    `name:any` is met by `name` if that is one of `allowed` (Multi-Arch: allowed) and by nothing otherwise, as in dpkg;
    `name:i386` by nothing in a tree of one architecture.
    """
    groups = (group for field in fields if field for group in parse(field))
    return tuple(dict.fromkeys(group_name(_unqualified(group, allowed)) for group in groups))


def provides(field: str) -> tuple[str, ...]:
    """Provides: only `=` versions mean anything, as in dpkg; an unversioned one satisfies no versioned dependency."""
    return tuple(dict.fromkeys(str(group[0]) for group in parse(field) if group[0].operator in ("", "=")))


def conflicts(name: str, *fields: str) -> tuple[str, ...]:
    """Breaks and Conflicts together, without those against the package itself."""
    return tuple(text for text in _against(*fields) if _name(text) != name)


def replaces(field: str) -> tuple[str, ...]:
    """Replaces: packages whose files may be taken over; nothing is removed because of it."""
    return _against(field)


def _against(*fields: str) -> tuple[str, ...]:
    """Relations that hold against a name whatever its architecture; other architectures than ours aren't there."""
    found: dict[str, None] = {}
    for relation in (group[0] for field in fields if field for group in parse(field)):
        name, _, qualifier = relation.name.partition(":")
        if qualifier in ("", "any"):
            found[str(Relation(name, relation.operator, relation.version))] = None
    return tuple(found)


def _name(text: str) -> str:
    return re.split("[<>=]", text, maxsplit=1)[0]


def _unqualified(group: tuple[Relation, ...], allowed: Set[str]) -> tuple[Relation, ...]:
    if not any(":" in relation.name for relation in group):
        return group
    plain = []
    for relation in group:
        name, _, qualifier = relation.name.partition(":")
        met = qualifier == "any" and name in allowed
        plain.append(Relation(name, relation.operator, relation.version) if met else relation)
    return tuple(dict.fromkeys(plain))
