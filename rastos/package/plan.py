"""Plans: what a change or a declaration comes to for one tree, as a value that can be shown, kept and carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .lockfile import LockedPackage
from .records import PackageRecord, shown_version
from .resolve import Choice, Wish

Change = Wish
"""What to do to a tree."""


@dataclass(frozen=True)
class PlannedPackage:
    """One package of a plan; `why` is the chain of names from what was asked for; sizes in bytes.

    `note` is the manifest's reason for it, `because` who takes its place (replaced packages).
    """

    name: str
    version: str
    shown_version: str
    channel: str
    reason: Literal["explicit", "dependency"]
    why: tuple[str, ...] = ()
    old_version: str = ""
    download_size: int = 0
    installed_size: int = 0
    old_size: int = 0
    note: str = ""
    because: str = ""


@dataclass(frozen=True)
class Plan:
    """What would happen to a tree; `records` (dependencies first) are what the transaction works from.

    `explicit` are names whose install reason becomes explicit, `demote` those whose becomes dependency. Not part of the
    change, for the reader: `undeclared` (asked for once, declared nowhere), `orphans` (needed by nobody), `ignored`
    (name, version) upgrades that a rule leaves alone, `choices` made among providers. `locked` are a lockfile's packages: where
    each file is and the digest it must have.
    """

    install: tuple[PlannedPackage, ...] = ()
    upgrade: tuple[PlannedPackage, ...] = ()
    remove: tuple[PlannedPackage, ...] = ()
    records: tuple[PackageRecord, ...] = ()
    explicit: tuple[str, ...] = ()
    downgrade: tuple[PlannedPackage, ...] = ()
    reinstall: tuple[PlannedPackage, ...] = ()
    replaces: tuple[tuple[str, str], ...] = ()
    demote: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    choices: tuple[Choice, ...] = ()
    locked: Mapping[str, LockedPackage] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no package comes, goes or changes."""
        return not (self.records or self.remove)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do at all, install reasons included."""
        return self.empty and not self.explicit and not self.demote

    @property
    def incoming(self) -> tuple[PlannedPackage, ...]:
        """Everything that is unpacked."""
        return (*self.install, *self.upgrade, *self.downgrade, *self.reinstall)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of what comes in, dependencies first."""
        return tuple(record.name for record in self.records)

    @property
    def download_size(self) -> int:
        """Bytes of packages as the channels have them."""
        return sum(package.download_size for package in self.incoming)

    @property
    def installed_size(self) -> int:
        """Bytes the transaction may need; upgrades count whole, because both versions are there for a moment."""
        return sum(package.installed_size for package in self.incoming)

    @property
    def growth(self) -> int:
        """Bytes the tree grows by, or shrinks when negative."""
        gone = sum(package.installed_size for package in self.remove)
        return self.installed_size - sum(package.old_size for package in self.incoming) - gone

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        kinds = ("install", "upgrade", "downgrade", "reinstall", "remove")
        lists = {key: [asdict(package) for package in getattr(self, key)] for key in kinds}
        return {
            **lists,
            "replaces": [{"new": new, "old": old} for new, old in self.replaces],
            "explicit": list(self.explicit),
            "demote": list(self.demote),
            "undeclared": list(self.undeclared),
            "orphans": list(self.orphans),
            "ignored": [{"name": name, "version": version} for name, version in self.ignored],
            "choices": [asdict(choice) for choice in self.choices],
            "download_size": self.download_size,
            "installed_size": self.installed_size,
            "growth": self.growth,
        }


__all__ = ["Change", "Plan", "PlannedPackage", "shown_version"]
