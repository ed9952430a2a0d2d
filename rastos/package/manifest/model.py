"""What a manifest says, as values; and what its sets come to for one machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from rastos.errors import UserError

from .keys import near

Kind = Literal["debian", "pacman", "local"]
DEFAULT_SET = "default"


@dataclass(frozen=True)
class Facts:
    """What conditions are held against; an empty value meets none."""

    host: str = ""
    profile: str = ""
    arch: str = ""


@dataclass(frozen=True)
class Condition:
    """Patterns; every one that is given has to match."""

    host: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    arch: tuple[str, ...] = ()

    def holds(self, facts: Facts) -> bool:
        """Whether this counts for a machine."""
        pairs = ((self.host, facts.host), (self.profile, facts.profile), (self.arch, facts.arch))
        return all(not patterns or any(fnmatchcase(value, text) for text in patterns) for patterns, value in pairs)


ALWAYS = Condition()


@dataclass(frozen=True)
class Constraint:
    """Versions that will do: operator (`< <= = >= >`) and a version as the distribution writes it."""

    operator: str
    version: str

    def __str__(self) -> str:
        return self.operator + self.version


@dataclass(frozen=True)
class DeclaredPackage:
    """One declared package (or group, or virtual name) and what is demanded of it."""

    name: str
    version: tuple[Constraint, ...] = ()
    channel: str = ""
    source: str = ""
    reason: str = ""
    when: Condition = ALWAYS

    @property
    def target(self) -> str:
        """As a target of a transaction."""
        return f"{self.channel}/{self.name}" if self.channel else self.name


@dataclass(frozen=True)
class PackageSet:
    """A named list of packages; `include` names sets it builds on, `exclude` takes of theirs away."""

    name: str
    packages: tuple[DeclaredPackage, ...] = ()
    include: tuple[str, ...] = ()
    description: str = ""
    exclude: tuple[str, ...] = ()
    when: Condition = ALWAYS


@dataclass(frozen=True)
class ChannelSpec:
    """A channel as declared. Lower `priority` wins; `siglevel` is (database, packages) as in pacman.conf."""

    name: str
    kind: Kind
    server: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    keyring: Path | None = None
    siglevel: tuple[str, str] = ("optional", "required")
    priority: int = 50
    cache_server: tuple[str, ...] = ()
    usage: tuple[str, ...] = ("all",)
    config: Path | None = None
    mirrorlist: Path | None = None
    keyring_package: str = ""
    trusted: tuple[str, ...] = ()
    archive: str = ""


@dataclass(frozen=True)
class HookSpec:
    """A program to run around a transaction that touches one of the packages in `on` (none: any)."""

    when: Literal["pre", "post"]
    run: tuple[str, ...]
    on: tuple[str, ...] = ()
    in_root: bool = True
    name: str = ""


@dataclass(frozen=True)
class Manifest:
    """A read manifest. No channels declared: the host's own are used."""

    path: Path
    sets: Mapping[str, PackageSet]
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    prefer: Mapping[str, str] = field(default_factory=dict)
    schema: int = 1
    use: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    undeclared: Literal["keep", "remove"] = "keep"
    no_extract: tuple[str, ...] = ()
    no_upgrade: tuple[str, ...] = ()
    overwrite: tuple[str, ...] = ()
    setuid: tuple[str, ...] = ("allow",)
    replace: Mapping[str, str] = field(default_factory=dict)
    pin: Mapping[str, tuple[Constraint, ...]] = field(default_factory=dict)
    hooks: tuple[HookSpec, ...] = ()

    @property
    def used_sets(self) -> tuple[str, ...]:
        """The sets that make up the system: `use`, else the flat list, else base, else all there are."""
        if self.use:
            return self.use
        return next(((name,) for name in (DEFAULT_SET, "base") if name in self.sets), tuple(self.sets))

    def select(self, names: Iterable[str], facts: Facts | None = None) -> tuple[str, ...]:
        """Targets of these sets, includes first, each once. UserError: unknown set, or includes in a circle."""
        return tuple(package.target for package in self.declared(names, facts))

    def declared(self, names: Iterable[str], facts: Facts | None = None) -> tuple[DeclaredPackage, ...]:
        """What these sets declare where `facts` hold; the demands of a name declared twice add up. Errors as `select`."""
        found: dict[str, DeclaredPackage] = {}
        for name in names:
            self._collect(name, (), found, facts or Facts())
        return tuple(found.values())

    def digest(self, packages: Iterable[DeclaredPackage]) -> str:
        """A digest of a declaration and of every rule that decides what it comes to."""
        rules = (self.prefer, self.replace, {k: [str(c) for c in v] for k, v in self.pin.items()}, self.exclude)
        wanted = [{key: value for key, value in asdict(item).items() if key != "reason"} for item in packages]
        channels = [asdict(self.channels[name]) for name in sorted(self.channels)]
        for channel in channels:  # where the keys lie decides nothing
            channel.update(keyring=None, config=None, mirrorlist=None)
        text = json.dumps([sorted(wanted, key=json.dumps), rules, channels], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {**asdict(self), "path": str(self.path)}

    def _collect(
        self, name: str, trail: tuple[str, ...], found: dict[str, DeclaredPackage], facts: Facts
    ) -> dict[str, DeclaredPackage]:
        if name in trail:
            circle = " → ".join([*trail[trail.index(name) :], name])
            raise UserError(
                f"sets include each other in a circle: {circle}", on=self.path, next_step="remove one include"
            )
        chosen = self.sets.get(name)
        if chosen is None:
            raise UserError(
                f"there is no package set '{name}'", on=self.path, next_step=near(name, self.sets, "sets there are")
            )
        below: dict[str, DeclaredPackage] = {}
        for other in chosen.include:
            self._collect(other, (*trail, name), below, facts)
        if not chosen.when.holds(facts):
            below.clear()
        for key in [key for key in below if any(fnmatchcase(key, text) for text in chosen.exclude)]:
            del below[key]
        own = [item for item in chosen.packages if item.when.holds(facts)] if chosen.when.holds(facts) else []
        for item in (*below.values(), *own):
            found[item.name] = _joined(found[item.name], item) if item.name in found else item
        return found


def _joined(first: DeclaredPackage, second: DeclaredPackage) -> DeclaredPackage:
    return replace(
        second,
        version=tuple(dict.fromkeys((*first.version, *second.version))),
        channel=second.channel or first.channel,
        source=second.source or first.source,
        reason=second.reason or first.reason,
        when=ALWAYS,
    )
