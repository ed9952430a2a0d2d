"""Making and holding to a lockfile: lock, check for drift, plan exactly what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rastos.errors import IntegrityError, UserError
from rastos.progress import Progress

from .channels import Channel
from .database import SyncIndex, read_local
from .lockfile import LockedChannel, LockedPackage, Lockfile
from .manifest import DeclaredPackage, Facts, Manifest
from .plan import Change, Plan, PlannedPackage, shown_version
from .planning import Decide, decided, rules_of
from .records import PackageRecord
from .relations import compare_versions
from .resolve import Index
from .target import Target


@dataclass(frozen=True)
class Drift:
    """Something that would come out differently now: kind (version, package, group, choice), what, before, now."""

    kind: str
    subject: str
    was: str
    now: str


def make_lock(
    target: Target,
    channels: Sequence[Channel],
    manifest: Manifest,
    sets: Sequence[str],
    progress: Progress,
    *,
    facts: Facts | None = None,
    previous: Lockfile | None = None,
    update: Iterable[str] | None = None,
    decide: Decide | None = None,
    offline: bool = False,
    as_of: str = "",
) -> Lockfile:
    """Resolve a declaration from nothing and pin what it comes to.

    What `previous` has stays at its version where it still fits; `update` names packages that may move (None: none, empty:
    all). UserError: the declaration can't be met, or a question is open.
    """
    declared = manifest.declared(sets, facts)
    names = None if update is None else set(update)
    unknown = sorted((names or set()) - {item.name for item in declared} - set(previous.by_name if previous else ()))
    if unknown:
        raise UserError(f"'{unknown[0]}' is neither declared nor locked", on=manifest.path, next_step="check the name")
    databases = {channel.name: channel.refresh(progress, offline=offline) for channel in channels}
    live = [SyncIndex.load(database.path, name) for name, database in databases.items()]
    with progress.step("locking") as step:
        moves = {record.name for record in previous.records} if previous and names == set() else names or set()
        indexes: list[Index] = [*(previous.indexes(moves) if previous else ()), *live]
        wish = Change(declared=tuple(item.target for item in declared))
        found = decided(target, indexes, {}, wish, rules_of(manifest, declared, channels), decide)
        by_name = {channel.name: channel for channel in channels}
        packages = _locked(found.install, found.explicit, by_name, previous)
        step.outcome = f"{len(packages)} packages"
    from rastos.host import sha256_file

    used = {record.channel for record in found.install}
    return Lockfile(
        manifest=manifest.digest(declared),
        sets=tuple(sets),
        arch=target.arch,
        packages=packages,
        channels=tuple(
            LockedChannel(channel.name, type(channel).__name__.removesuffix("Channel").lower(), sha256_file(database))
            for channel in channels
            if channel.name in used and (database := databases[channel.name].path)
        ),
        groups={text: members for text, members in found.targets.items() if members != (text.split("/")[-1],)},
        choices=tuple(choice for choice in found.choices if choice.how != "there"),
        as_of=as_of,
    )


def _locked(
    records: Sequence[PackageRecord],
    explicit: Iterable[str],
    channels: Mapping[str, Channel],
    previous: Lockfile | None,
) -> tuple[LockedPackage, ...]:
    known = previous.by_name if previous else {}
    asked: dict[str, list[str]] = {}
    packages: dict[str, LockedPackage] = {}
    for record in records:
        old = known.get(record.name)
        if old and replace(old.record, reason="") == replace(record, reason=""):
            packages[record.name] = old
        else:
            asked.setdefault(record.channel, []).append(record.name)
    for name, wanted in asked.items():
        for key, file in channels[name].locate(wanted).items():
            record = next(item for item in records if item.name == key)
            packages[key] = LockedPackage(record, file)
    missing = [record.name for record in records if record.name not in packages]
    if missing:
        raise IntegrityError(f"the channel names no file for {missing[0]}", on=channels)
    chosen = set(explicit)
    reasons = {record.name: "explicit" if record.name in chosen else "dependency" for record in records}
    return tuple(
        replace(packages[r.name], record=replace(packages[r.name].record, reason=reasons[r.name])) for r in records
    )


def stale(lock: Lockfile, manifest: Manifest, facts: Facts | None = None) -> str:
    """Why a lockfile doesn't belong to its manifest any more, or nothing."""
    try:
        declared = manifest.declared(lock.sets, facts)
    except UserError as error:
        return error.what
    if manifest.digest(declared) != lock.manifest:
        names = {item.name for item in declared}
        locked = {name for package in lock.packages for name in (package.record.name, *_provided(package.record))}
        new = sorted(name for name in names - locked if name not in lock.groups)
        return (
            f"{', '.join(new)} is declared but not locked" if new else "packages.toml has changed since it was locked"
        )
    return ""


def _provided(record: PackageRecord) -> list[str]:
    return [text.split("=")[0] for text in record.provides]


def drift(lock: Lockfile, fresh: Lockfile) -> tuple[Drift, ...]:
    """What would come out differently if it were locked now (`fresh`)."""
    old, new = lock.by_name, fresh.by_name
    found = []
    for name in sorted({*old, *new}):
        was = shown_version(old[name].record.version) if name in old else ""
        now = shown_version(new[name].record.version) if name in new else ""
        if was != now:
            found.append(Drift("version" if was and now else "package", name, was, now))
        elif old[name].file.sha256 != new[name].file.sha256:
            found.append(Drift("file", name, old[name].file.sha256, new[name].file.sha256))
    for name in sorted({*lock.groups, *fresh.groups}):
        before, after = lock.groups.get(name, ()), fresh.groups.get(name, ())
        if set(before) != set(after):
            found.append(Drift("group", name, ", ".join(before), ", ".join(after)))
    choices = {(choice.wanted, choice.by): choice.chosen for choice in lock.choices}
    for choice in fresh.choices:
        before_ = choices.get((choice.wanted, choice.by), choice.chosen)
        if before_ != choice.chosen:
            found.append(Drift("choice", f"{choice.wanted} (for {choice.by})", before_, choice.chosen))
    return tuple(found)


def plan_locked(target: Target, lock: Lockfile, channels: Sequence[Channel]) -> Plan:
    """What makes a tree hold exactly the lockfile's packages: others go. UserError: another architecture or channel."""
    if lock.arch != target.arch:
        raise UserError(f"the lockfile is for {lock.arch}, this tree is {target.arch}", next_step="lock for this one")
    by_name = {channel.name: channel for channel in channels}
    for record in lock.records:
        if record.channel not in by_name:
            raise UserError(
                f"{record.name} was locked from the channel '{record.channel}', which is not declared any more",
                next_step="declare it again, or lock again",
            )
    installed = read_local(target.database)
    kinds: dict[str, list[PlannedPackage]] = {"install": [], "upgrade": [], "downgrade": [], "remove": []}
    records = []
    for package in lock.packages:
        old = installed.get(package.record.name)
        order = compare_versions(package.record.version, old.version) if old else 1
        if old and order == 0:
            continue
        records.append(replace(package.record, reason=""))
        kinds["install" if not old else "upgrade" if order > 0 else "downgrade"].append(
            _planned(package, old, by_name[package.record.channel])
        )
    wanted = lock.by_name
    for name in sorted(set(installed) - set(wanted)):
        kinds["remove"].append(_removed(installed[name]))
    reasons = {name: package.record.reason for name, package in wanted.items()}
    return Plan(
        install=_sorted(kinds["install"]),
        upgrade=_sorted(kinds["upgrade"]),
        downgrade=_sorted(kinds["downgrade"]),
        remove=_sorted(kinds["remove"]),
        records=tuple(records),
        explicit=tuple(
            sorted(
                name
                for name, reason in reasons.items()
                if reason == "explicit" and (name not in installed or installed[name].reason != "explicit")
            )
        ),
        demote=tuple(
            sorted(
                name
                for name, reason in reasons.items()
                if reason != "explicit" and name in installed and installed[name].reason == "explicit"
            )
        ),
        locked=wanted,
    )


def _sorted(packages: Iterable[PlannedPackage]) -> tuple[PlannedPackage, ...]:
    return tuple(sorted(packages, key=lambda package: package.name))


def _planned(package: LockedPackage, old: PackageRecord | None, channel: Channel) -> PlannedPackage:
    record = package.record
    return PlannedPackage(
        name=record.name,
        version=record.version,
        shown_version=channel.display_version(record.version),
        channel=record.channel,
        reason="explicit" if record.reason == "explicit" else "dependency",
        why=(record.name,) if record.reason == "explicit" else ("packages.lock", record.name),
        old_version=shown_version(old.version) if old else "",
        download_size=package.file.size,
        installed_size=record.installed_size,
        old_size=old.installed_size if old else 0,
    )


def _removed(record: PackageRecord) -> PlannedPackage:
    return PlannedPackage(
        name=record.name,
        version=record.version,
        shown_version=shown_version(record.version),
        channel="",
        reason="dependency" if record.reason == "dependency" else "explicit",
        installed_size=record.installed_size,
        because="not in packages.lock",
    )


__all__ = ["DeclaredPackage", "Drift", "drift", "make_lock", "plan_locked", "stale"]
