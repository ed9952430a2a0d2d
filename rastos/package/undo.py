"""Undo by packages: the change that takes a tree back to what it held before an entry of its history.

The entry and all after it are walked backwards, which gives the version and reason each package had. What is not so now is
put right with package files that are still at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rastos.errors import IntegrityError, UserError

from .changes import PackageChange, differences
from .channels import alternatives_of
from .database import read_local
from .history import HistoryEntry, chosen_entry
from .plan import Plan, PlannedPackage, shown_version
from .records import PackageRecord
from .relations import parse_dependency, satisfies
from .repository import package_record
from .target import Target


@dataclass(frozen=True)
class Undo:
    """What undoes entry `number` and all after it; `files` are the package files by name, `changes` the whole in words."""

    number: int
    changes: tuple[PackageChange, ...]
    plan: Plan
    files: Mapping[str, Path]


def plan_undo(
    target: Target, entries: Sequence[HistoryEntry], number: int | None, package_files: Iterable[Path]
) -> Undo:
    """Plan going back to before entry `number` (None: the last completed one); nothing is written.

    `package_files` are folders with package files, the best first. UserError: no such entry, files that are missing (all are
    named), or packages changed by others that could not stay as they are.
    """
    entry = chosen_entry(entries, number, target.root)
    installed = read_local(target.database)
    wanted: dict[str, tuple[str, str]] = {}
    for past in reversed([item for item in entries if item.number >= entry.number]):
        for change in past.packages:
            wanted[change.name] = (change.old_version, change.old_reason)
    after = dict(installed)
    files: dict[str, Path] = {}
    missing: list[str] = []
    # a version that was built twice: what was there before counts, not what came later
    ordered = sorted(entries, key=lambda item: (item.number < entry.number, item.number))
    known = {(c.name, c.version): c for past in ordered for c in past.packages if c.sha256}
    folders = tuple(package_files)
    for name, (version, reason) in sorted(wanted.items()):
        now = installed.get(name)
        if not version:
            after.pop(name, None)
        elif now is not None and now.version == version:
            after[name] = replace(now, reason=reason or now.reason)
        else:
            found = _file(name, version, known.get((name, version)), folders)
            if found is None:
                missing.append(f"{name} {shown_version(version)}")
                continue
            files[name] = found[0]
            after[name] = replace(found[1], channel="cache", reason=reason or "explicit")
    if missing:
        raise UserError(
            f"{len(missing)} old package files are not here any more",
            on=target.packages,
            next_step="put them into that folder (a backup, another machine's cache, the channel's archive), then again",
            detail="\n".join(missing),
        )
    _stands(installed, after, target)
    changes = differences(installed, after)
    return Undo(entry.number, changes, _plan(changes, installed, after), files)


def _file(
    name: str, version: str, known: PackageChange | None, folders: Sequence[Path]
) -> tuple[Path, PackageRecord] | None:
    """The file that was installed then; else any that says it is that package, unless it was altered."""
    named = [folder / known.filename for folder in folders if known and known.filename]
    # versions are part of file names, epochs may be written with another character
    patterns = {f"{name}-{version}-*.pkg.tar.*", f"{name}-{version.replace(':', '.')}-*.pkg.tar.*"}
    other = [
        path for folder in folders for pattern in sorted(patterns) for path in sorted(folder.glob(_plain(pattern)))
    ]
    for path in dict.fromkeys((*named, *other)):
        if not path.is_file() or path.name.endswith((".sig", ".part")):
            continue
        try:
            record = package_record(path)
        except IntegrityError:
            continue
        if (record.name, record.version) != (name, version):
            continue
        if known is not None and path.name == known.filename and record.sha256 != known.sha256:
            continue  # the same name with other content: not the one that was installed
        return path, record
    return None


def _plain(pattern: str) -> str:
    return "".join(f"[{letter}]" if letter in "?[" else letter for letter in pattern)


def _stands(before: Mapping[str, PackageRecord], after: Mapping[str, PackageRecord], target: Target) -> None:
    """What was met before must be met after, and what comes back must not conflict with what stays."""
    lines = []
    for record in after.values():
        for text in record.depends:
            if not _met(text, after) and (before.get(record.name) != record or _met(text, before)):
                lines.append(f"{record.name} {shown_version(record.version)} needs {text}")
        for text in record.conflicts:
            against = parse_dependency(text)
            for other in after.values():
                changed = before.get(other.name) != other or before.get(record.name) != record
                if changed and other.name != record.name and satisfies(other, against):
                    lines.append(f"{record.name} and {other.name} can't be together")
    if lines:
        raise UserError(
            "what was changed since stands against it",
            on=target.root,
            next_step="undo or remove that first; nothing was changed",
            detail="\n".join(sorted(set(lines))),
        )


def _met(text: str, packages: Mapping[str, PackageRecord]) -> bool:
    for part in alternatives_of(text) or (text,):
        wanted = parse_dependency(part)
        direct = packages.get(wanted.name)
        if direct is not None and satisfies(direct, wanted):
            return True
        if any(satisfies(record, wanted) for record in packages.values() if record.provides):
            return True
    return False


def _plan(
    changes: Sequence[PackageChange], installed: Mapping[str, PackageRecord], after: Mapping[str, PackageRecord]
) -> Plan:
    groups: dict[str, list[PlannedPackage]] = {
        key: [] for key in ("install", "upgrade", "downgrade", "reinstall", "remove")
    }
    explicit: list[str] = []
    demote: list[str] = []
    records: list[PackageRecord] = []
    for change in changes:
        record = after.get(change.name) or installed[change.name]
        old = installed.get(change.name)
        reason: Literal["explicit", "dependency"] = "dependency" if record.reason == "dependency" else "explicit"
        planned = PlannedPackage(
            name=record.name,
            version=record.version,
            shown_version=shown_version(record.version),
            channel="" if change.action == "remove" else "cache",
            reason=reason,
            old_version=shown_version(old.version) if old and change.action != "remove" else "",
            download_size=record.download_size,
            installed_size=record.installed_size,
        )
        if change.action in ("install", "upgrade", "downgrade"):
            records.append(replace(record, reason=""))
        if change.reason == "explicit" and old is not None and old.reason != "explicit":
            explicit.append(change.name)
        if change.action == "reason":
            demote += [change.name] if reason == "dependency" else []
        else:
            groups[change.action].append(planned)
    values: dict[str, Any] = {key: tuple(packages) for key, packages in groups.items()}
    return Plan(**values, records=_ordered(records), explicit=tuple(explicit), demote=tuple(demote))


def _ordered(records: Sequence[PackageRecord]) -> tuple[PackageRecord, ...]:
    """Dependencies first; cycles are cut where they are met."""
    found: dict[str, PackageRecord] = {}
    waiting: set[str] = set()

    def take(record: PackageRecord) -> None:
        if record.name in waiting:
            return
        waiting.add(record.name)
        for text in record.depends:
            wanted = parse_dependency(text)
            for other in records:
                if satisfies(other, wanted):
                    take(other)
        found[record.name] = record

    for record in records:
        take(record)
    return tuple(found.values())


__all__ = ["Undo", "plan_undo"]
