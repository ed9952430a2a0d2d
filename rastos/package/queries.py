"""Reading: what is installed, what the channels have, what is known of one package. No libalpm, no lock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rastos.errors import UserError
from rastos.progress import Progress

from .channels import Channel, allows
from .database import read_local
from .manifest import near
from .plan import shown_version
from .planning import load_indexes
from .records import PackageRecord
from .relations import parse_dependency, satisfies
from .target import Target


@dataclass(frozen=True)
class InstalledPackage:
    """A package of a tree; `reason` is explicit or dependency, `size` in bytes."""

    name: str
    version: str
    shown_version: str
    reason: str
    size: int
    description: str = ""


@dataclass(frozen=True)
class PackageInfo:
    """A package of a channel; sizes in bytes, relations as libalpm's dependency strings."""

    name: str
    version: str
    shown_version: str
    channel: str
    description: str
    url: str = ""
    arch: str = ""
    download_size: int = 0
    installed_size: int = 0
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    installed: str = ""
    required_by: tuple[str, ...] = ()


def installed(target: Target) -> tuple[InstalledPackage, ...]:
    """What is in the tree, by name."""
    records = read_local(target.database)
    return tuple(
        InstalledPackage(r.name, r.version, shown_version(r.version), r.reason, r.installed_size, r.description)
        for _, r in sorted(records.items())
    )


def search(
    channels: Sequence[Channel], words: Sequence[str], progress: Progress, *, offline: bool = False
) -> tuple[PackageInfo, ...]:
    """Packages whose name or description matches every word (regular expressions, case ignored), best first.

    UserError: a word isn't a regular expression.
    """
    patterns = []
    for word in words:
        try:
            patterns.append(re.compile(word.encode(), re.IGNORECASE))
        except re.error as error:
            raise UserError(
                f"not a regular expression: {error}", on=word, next_step="quote it with \\Q, or search plain words"
            ) from error
    found = []
    by_name = {channel.name: channel for channel in channels}
    searched = [channel for channel in channels if allows(channel, "search")]
    for index in load_indexes(searched, progress, offline=offline):
        for name, body in index.bodies():
            text = name.encode() + b"\n" + _description(body)
            if all(pattern.search(text) for pattern in patterns):
                found.append(_info(index.record(name), by_name))
    plain = " ".join(words).lower()
    found.sort(key=lambda item: (item.name != plain, plain not in item.name, item.name))
    return tuple(found)


def info(
    target: Target | None, channels: Sequence[Channel], name: str, progress: Progress, *, offline: bool = False
) -> PackageInfo:
    """Everything known of one package, of the first channel that has it, else as installed. UserError with near names."""
    by_name = {channel.name: channel for channel in channels}
    there = read_local(target.database) if target else {}
    indexes = load_indexes(channels, progress, offline=offline)
    index = next((index for index in indexes if name in index), None)
    record = index.record(name) if index else there.get(name)
    if record is None:
        close = [other for index in indexes for other in index.near(name)]
        raise UserError(f"no channel has '{name}'", next_step=near(name, close, "names like it"))
    mine = there.get(name)
    return _info(record, by_name, shown_version(mine.version) if mine else "", _required_by(record, there))


def _required_by(record: PackageRecord, there: dict[str, PackageRecord]) -> tuple[str, ...]:
    return tuple(
        sorted(
            other.name
            for other in there.values()
            if other.name != record.name and any(satisfies(record, parse_dependency(text)) for text in other.depends)
        )
    )


def _info(
    record: PackageRecord, channels: dict[str, Channel], mine: str = "", required_by: tuple[str, ...] = ()
) -> PackageInfo:
    channel = channels.get(record.channel)
    return PackageInfo(
        name=record.name,
        version=record.version,
        shown_version=channel.display_version(record.version) if channel else shown_version(record.version),
        channel=record.channel,
        description=record.description,
        url=record.url,
        arch=record.arch,
        download_size=record.download_size,
        installed_size=record.installed_size,
        depends=record.depends,
        provides=record.provides,
        conflicts=record.conflicts,
        groups=record.groups,
        installed=mine,
        required_by=required_by,
    )


def _description(body: bytes) -> bytes:
    at = body.find(b"%DESC%\n")
    return body[at + 7 : body.find(b"\n", at + 7)] if at >= 0 else b""


__all__ = ["InstalledPackage", "PackageInfo", "info", "installed", "search"]
