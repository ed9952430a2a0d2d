"""What is looked at before a transaction starts: the tree as planned, room, held packages, the package files themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.progress import Progress

from .channels import Channel, Wanted
from .inspection import Candidate, Inspection, inspect_packages
from .plan import Plan
from .policy import TransactionPolicy, matching, pattern_of
from .records import PackageRecord
from .relations import parse_dependency, satisfies
from .target import Target

_RESERVE = 16 << 20  # bytes that stay free


def wanted_of(plan: Plan, channels: Sequence[Channel]) -> list[tuple[Channel, list[Wanted]]]:
    """The files a plan needs, by channel. UserError: it needs a channel that isn't here."""
    groups: dict[str, list[Wanted]] = {}
    for record in plan.records:
        locked = plan.locked.get(record.name)
        item = Wanted(record.name, record.version, record.filename, record.sha256, record.download_size, locked)
        groups.setdefault(record.channel, []).append(item)
    by_name = {channel.name: channel for channel in channels}
    unknown = sorted(set(groups) - set(by_name))
    if unknown:
        raise UserError(
            f"the plan needs the channel '{unknown[0]}'", next_step="make the plan again with these channels"
        )
    return [(by_name[name], items) for name, items in groups.items()]


def check_unchanged(target: Target, plan: Plan, there: Mapping[str, PackageRecord]) -> None:
    """UserError: the tree isn't the one the plan was made for."""
    versions = {record.name: record.version for record in plan.records}
    moved = [p.name for p in plan.install if p.name in there and there[p.name].version != versions[p.name]]
    moved += [p.name for p in plan.remove if p.name not in there or there[p.name].version != p.version]
    moved += [p.name for p in (*plan.upgrade, *plan.downgrade, *plan.reinstall) if p.name not in there]
    if moved:
        raise UserError(
            f"the tree has changed since the plan was made: {', '.join(sorted(moved)[:5])}",
            on=target.root,
            next_step="make the plan again",
        )


def check_room(target: Target, plan: Plan) -> None:
    """HostError: what the packages say they need isn't free."""
    folder = target.root
    while not folder.is_dir():
        folder = folder.parent
    figures = os.statvfs(folder)
    free = figures.f_bavail * figures.f_frsize
    if free < plan.installed_size + _RESERVE and plan.records:
        raise HostError(
            f"the disk is too small: {plan.installed_size >> 20} MiB to unpack, {free >> 20} MiB free",
            on=target.root,
            next_step="free space or make the tree's file system larger; nothing was changed",
        )


def check_held(target: Target, plan: Plan, policy: TransactionPolicy) -> None:
    """UserError: a package that shall never be removed would be."""
    if not policy.hold or policy.force_hold:
        return
    held = matching((package.name for package in plan.remove), policy.hold)
    if held:
        raise UserError(
            f"{', '.join(held)} {'is' if len(held) == 1 else 'are'} held and would be removed",
            on=target.root,
            next_step="take the name out of `hold` in packages.toml, or change what is asked for; nothing was changed",
        )


def inspected(
    target: Target,
    plan: Plan,
    wanted: Sequence[tuple[Channel, Sequence[Wanted]]],
    policy: TransactionPolicy,
    progress: Progress,
) -> dict[str, Inspection]:
    """What the fetched files hold, by package. IntegrityError: hostile or damaged; UserError: against the policy."""
    from .channels.local import LocalChannel
    from .channels.pacman import PacmanChannel

    records = {record.name: record for record in plan.records}
    candidates = []
    for channel, packages in wanted:
        # these have just held the file against its digest; others make the file themselves
        verified = isinstance(channel, LocalChannel | PacmanChannel)
        for package in packages:
            digest = package.sha256 if verified else ""
            candidates.append(Candidate(target.packages / package.filename, records[package.name], digest))
    return inspect_packages(candidates, target.cache / "inspected", policy, progress)


def overwritable(
    root: Path, wanted: Sequence[tuple[Channel, Sequence[Wanted]]], policy: TransactionPolicy
) -> tuple[str, ...]:
    """Patterns of files that may be overwritten: the policy's, and what a channel's own distribution allows."""
    found = [pattern_of(text) for text in policy.overwrite]
    for channel, packages in wanted:
        allowed = getattr(channel, "overwrites", None)
        if allowed is not None:
            found += allowed([package.name for package in packages], root if root.is_dir() else None)
    return tuple(dict.fromkeys(found))


def conflicting(plan: Plan, there: Mapping[str, PackageRecord]) -> tuple[str, ...]:
    """Packages to remove that a new one is in conflict with, in either direction."""
    found = []
    for package in plan.remove:
        old = there[package.name]
        if any(_against(new, old) or _against(old, new) for new in plan.records):
            found.append(old.name)
    return tuple(found)


def _against(one: PackageRecord, other: PackageRecord) -> bool:
    return any(satisfies(other, parse_dependency(text)) for text in one.conflicts)
