"""Plans: what a change or a manifest comes to for one tree, as a value that can be shown, kept and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from rastos.errors import UserError
from rastos.progress import Progress

from .channels import Channel, alternatives_of
from .database import SyncIndex, read_local
from .manifest import Manifest
from .records import PackageRecord
from .recovery import torn_packages
from .resolve import Problem, Resolution, Wish, resolve
from .target import Target

_LINE = 200  # what is longer goes into the detail
_KINDS = {
    "missing": "packages are not there",
    "dependency": "dependencies can't be met",
    "conflict": "packages conflict",
    "arch": "packages are for another architecture",
    "removal": "installed packages need what would go",
}


@dataclass(frozen=True)
class Change:
    """What to do to a tree: names to install and remove, and whether to upgrade everything."""

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    upgrade: bool = False


@dataclass(frozen=True)
class PlannedPackage:
    """One package of a plan; `why` is the chain of names from what was asked for; sizes in bytes."""

    name: str
    version: str
    shown_version: str
    channel: str
    reason: Literal["explicit", "dependency"]
    why: tuple[str, ...] = ()
    old_version: str = ""
    download_size: int = 0
    installed_size: int = 0


@dataclass(frozen=True)
class Plan:
    """What would happen to a tree; `records` (dependencies first) are what the transaction works from.

    `explicit` are names whose install reason becomes explicit.
    """

    install: tuple[PlannedPackage, ...] = ()
    upgrade: tuple[PlannedPackage, ...] = ()
    remove: tuple[PlannedPackage, ...] = ()
    records: tuple[PackageRecord, ...] = ()
    explicit: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.install or self.upgrade or self.remove)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of what comes in, dependencies first."""
        return tuple(record.name for record in self.records)

    @property
    def download_size(self) -> int:
        """Bytes of packages as the channels have them."""
        return sum(package.download_size for package in (*self.install, *self.upgrade))

    @property
    def installed_size(self) -> int:
        """Bytes the tree grows by; upgrades count whole, because both versions are there for a moment."""
        return sum(package.installed_size for package in (*self.install, *self.upgrade))

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        lists = {key: [asdict(package) for package in getattr(self, key)] for key in ("install", "upgrade", "remove")}
        return {**lists, "download_size": self.download_size, "installed_size": self.installed_size}


def plan_change(
    target: Target,
    channels: Sequence[Channel],
    change: Change,
    progress: Progress,
    *,
    manifest: Manifest | None = None,
    offline: bool = False,
) -> Plan:
    """What a change comes to. UserError lists everything that stands against it; nothing is written."""
    installed = read_local(target.database)
    # what was being unpacked when libalpm died is completed by the next change
    torn = tuple(name for name in torn_packages(target.database) if name not in (*change.remove, *installed))
    change = replace(change, install=tuple(dict.fromkeys((*change.install, *torn))))
    indexes = load_indexes(channels, progress, offline=offline) if change.install or change.upgrade else []
    with progress.step("resolving") as step:
        found = resolve(
            indexes,
            installed,
            Wish(change.install, change.remove, change.upgrade),
            arch=target.arch,
            prefer=manifest.prefer if manifest else {},
            alternatives=alternatives_of,
            shown=shown_version,
        )
        if found.problems:
            raise unsolvable(found.problems, target)
        plan = _plan(found, installed, channels)
        changed = len(plan.install) + len(plan.upgrade) + len(plan.remove)
        step.outcome = f"{changed} packages change" if changed else "nothing to do"
    return plan


def plan_manifest(
    target: Target,
    channels: Sequence[Channel],
    manifest: Manifest,
    sets: Sequence[str],
    progress: Progress,
    *,
    upgrade: bool = False,
    offline: bool = False,
) -> Plan:
    """What brings the declared sets into the tree; what is there already stays."""
    change = Change(install=manifest.select(sets), upgrade=upgrade)
    return plan_change(target, channels, change, progress, manifest=manifest, offline=offline)


def load_indexes(channels: Sequence[Channel], progress: Progress, *, offline: bool = False) -> list[SyncIndex]:
    """The refreshed databases of all channels in order of priority."""
    databases = [channel.refresh(progress, offline=offline) for channel in channels]
    return [SyncIndex.load(database.path, database.name) for database in databases]


def unsolvable(problems: Sequence[Problem], target: Target) -> UserError:
    """One error that carries every problem."""
    lines = [str(problem) for problem in problems]
    kinds = list(dict.fromkeys(problem.kind for problem in problems))
    near = next((problem.near for problem in problems if problem.near), ())
    if len(lines) == 1 and len(lines[0]) < _LINE:
        names = " or ".join(f"'{name}'" for name in near)
        step = f"did you mean {names}? `rastos package search` finds more" if near else "change what is asked for"
        return UserError(problems[0].text, on=target.root, next_step=f"{step}; nothing was changed")
    count = f"{len(lines)} problems: " if len(lines) > 1 else ""
    what = count + " and ".join(_KINDS[kind] for kind in kinds)
    return UserError(what, on=target.root, next_step="see the list; nothing was changed", detail="\n".join(lines))


def _plan(found: Resolution, installed: dict[str, PackageRecord], channels: Sequence[Channel]) -> Plan:
    by_name = {channel.name: channel for channel in channels}
    new: list[PlannedPackage] = []
    upgraded: list[PlannedPackage] = []
    for record in found.install:
        old = installed.get(record.name)
        explicit = record.name in found.explicit or (old is not None and old.reason == "explicit")
        channel = by_name.get(record.channel)
        package = PlannedPackage(
            name=record.name,
            version=record.version,
            shown_version=channel.display_version(record.version) if channel else record.version,
            channel=record.channel,
            reason="explicit" if explicit else "dependency",
            why=tuple(found.why.get(record.name, ())),
            old_version=shown_version(old.version) if old else "",
            download_size=record.download_size,
            installed_size=record.installed_size,
        )
        (upgraded if old else new).append(package)
    removed = [
        PlannedPackage(
            name=record.name,
            version=record.version,
            shown_version=shown_version(record.version),
            channel="",
            reason="dependency" if record.reason == "dependency" else "explicit",
            installed_size=record.installed_size,
        )
        for record in found.remove
    ]
    return Plan(
        install=tuple(sorted(new, key=lambda package: package.name)),
        upgrade=tuple(sorted(upgraded, key=lambda package: package.name)),
        remove=tuple(sorted(removed, key=lambda package: package.name)),
        records=found.install,
        explicit=tuple(sorted(n for n in found.explicit if n not in installed or installed[n].reason != "explicit")),
    )


def shown_version(version: str) -> str:
    """An installed version as its distribution writes it (Debian's mapped versions are recognised)."""
    from .channels.debian import decode

    return decode(version) if version else ""
