"""What happens to single packages: a plan, or the difference of two trees, told package by package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .plan import Plan
from .records import PackageRecord
from .relations import compare_versions

ACTIONS = ("install", "upgrade", "downgrade", "reinstall", "remove", "reason")


@dataclass(frozen=True, slots=True)
class PackageChange:
    """What happened to one package; file and digest are those of what came in."""

    name: str
    action: str
    version: str = ""
    old_version: str = ""
    reason: str = ""
    old_reason: str = ""
    channel: str = ""
    filename: str = ""
    sha256: str = ""


def planned_changes(plan: Plan, installed: Mapping[str, PackageRecord]) -> tuple[PackageChange, ...]:
    """A plan as history tells it, by name."""
    reasons = {package.name: package.reason for package in plan.incoming}
    found = [
        _change(installed.get(record.name), replace(record, reason=reasons.get(record.name, "")))
        for record in plan.records
    ]
    found += [_change(installed[package.name], None) for package in plan.remove if package.name in installed]
    marks = {**dict.fromkeys(plan.explicit, "explicit"), **dict.fromkeys(plan.demote, "dependency")}
    there = {change.name: number for number, change in enumerate(found)}
    for name, reason in marks.items():
        if name in there:
            found[there[name]] = replace(found[there[name]], reason=reason)
        elif name in installed and installed[name].reason != reason:
            found.append(_change(installed[name], replace(installed[name], reason=reason)))
    return tuple(sorted(found, key=lambda change: change.name))


def differences(before: Mapping[str, PackageRecord], after: Mapping[str, PackageRecord]) -> tuple[PackageChange, ...]:
    """What differs between two sets of installed packages, by name."""
    return tuple(
        _change(before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if _state(before.get(name)) != _state(after.get(name))
    )


def _state(record: PackageRecord | None) -> tuple[str, str]:
    return (record.version, record.reason) if record else ("", "")


def _change(old: PackageRecord | None, new: PackageRecord | None) -> PackageChange:
    if new is None:
        assert old is not None
        return PackageChange(old.name, "remove", old_version=old.version, old_reason=old.reason)
    action = "install"
    if old is not None:
        order = compare_versions(new.version, old.version)
        action = "upgrade" if order > 0 else "downgrade" if order < 0 else "reinstall" if new.filename else "reason"
    return PackageChange(
        name=new.name,
        action=action,
        version=new.version,
        old_version=old.version if old else "",
        reason=new.reason or (old.reason if old else "explicit"),
        old_reason=old.reason if old else "",
        channel=new.channel,
        filename=new.filename,
        sha256=new.sha256,
    )
