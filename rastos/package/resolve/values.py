"""What goes into the resolver and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..manifest import Constraint
from ..records import PackageRecord

Alternatives = Callable[[str], tuple[str, ...] | None]


class Index(Protocol):
    """What the resolver asks of a channel's database (`SyncIndex` is one, a lockfile's another)."""

    channel: str

    def __contains__(self, name: str) -> bool: ...
    def record(self, name: str) -> PackageRecord:
        """The record of a package."""

    def providers(self, name: str) -> list[str]:
        """Names of packages that provide `name`."""

    def group(self, name: str) -> list[PackageRecord]:
        """Members of a group."""

    def near(self, name: str) -> list[str]:
        """Names that look like it."""

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        """Every entry as stored."""


@dataclass(frozen=True)
class Wish:
    """What is asked for; targets are names, `channel/name`, `name>=version`, virtual names and groups.

    `install` is brought to the channels' version, `declared` stays as it is where it is there and will do. `prune` takes
    out what neither a declared package nor an optional dependency of one needs.
    """

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    upgrade: bool = False
    declared: tuple[str, ...] = ()
    reinstall: tuple[str, ...] = ()
    downgrade: bool = False
    cascade: bool = False
    prune: bool = False


@dataclass(frozen=True)
class Rules:
    """What decides where there is a choice; patterns are shell patterns.

    `replace` maps an old name to the package that may take its place, or to "" (never). `channels` limits a name to some
    channels, `upgradable` are the channels upgrades may come from, `installable` those that others than
    `channel/name` may (None: all).
    """

    prefer: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, tuple[Constraint, ...]] = field(default_factory=dict)
    channels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    upgradable: frozenset[str] | None = None
    installable: frozenset[str] | None = None


@dataclass(frozen=True)
class Problem:
    """Why a wish can't be met: kind (missing, dependency, conflict, arch, removal, held), what exactly, near names.

    `names` are the packages at odds, for looking for another way; `step` what would settle it.
    """

    kind: str
    text: str
    near: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)
    step: str = field(default="", compare=False)

    def __str__(self) -> str:
        hint = " or ".join(f"'{name}'" for name in self.near)
        return f"{self.text}; did you mean {hint}?" if hint else self.text


@dataclass(frozen=True)
class Choice:
    """Several packages could meet a dependency: who was taken, the others, and why (there, prefer, order, first)."""

    wanted: str
    by: str
    chosen: str
    others: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class Question:
    """What nobody decided: kind (provider, replace), about what, the possible answers, the usual one first."""

    kind: str
    subject: str
    answers: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Resolution:
    """Packages to bring in (dependency order) and to take out; `explicit` names were asked for, `why` their chains.

    `targets` says what each target came to (a group: its members), `replaces` (new, old) pairs, `demote` names that are
    no longer asked for but still needed, `ignored` (name, version) upgrades that rules leave alone.
    """

    install: tuple[PackageRecord, ...] = ()
    remove: tuple[PackageRecord, ...] = ()
    explicit: frozenset[str] = frozenset()
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replaces: tuple[tuple[str, str], ...] = ()
    choices: tuple[Choice, ...] = ()
    questions: tuple[Question, ...] = ()
    demote: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    undeclared: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
