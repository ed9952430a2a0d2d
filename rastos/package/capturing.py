"""Writing a manifest from what is there: a tree of pacman packages, or a Debian system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.progress import Progress

from .channels import Channel
from .database import SyncIndex, read_local
from .manifest.edit import sets_text
from .planning import load_indexes
from .records import PackageRecord
from .target import Target

_DPKG = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Capture:
    """What was found: explicit packages by set, `foreign` ones that no channel has, and the manifest's text."""

    text: str
    packages: int
    foreign: tuple[str, ...]
    dependencies: int


def capture(target: Target, channels: Sequence[Channel], progress: Progress, *, offline: bool = False) -> Capture:
    """The explicit packages of a tree as a manifest: whole groups as groups, foreign packages in a set of their own.

    A tree without libalpm's database but with dpkg's is read from that (as `apt-mark showmanual`). UserError: neither.
    """
    installed = read_local(target.database)
    if not installed:
        if not (target.root / _DPKG).is_file():
            raise UserError("there is no package database", on=target.root, next_step="name a tree: --root DIR")
        installed = _dpkg(target.root)
    explicit = {name: record for name, record in installed.items() if record.reason != "dependency"}
    indexes = load_indexes(channels, progress, offline=offline)
    foreign = tuple(name for name in sorted(explicit) if not any(name in index for index in indexes))
    groups, grouped = _groups(explicit, indexes)
    own = [name for name in sorted(explicit) if name not in grouped and name not in foreign]
    sets: list[tuple[str, str, list[tuple[str, str]]]] = []
    listed = [(name, f"a group of {count}") for name, count in groups] + [
        (name, explicit[name].description) for name in own
    ]
    sets.append(("system", "What was asked for by name", listed))
    if foreign:
        sets.append(
            (
                "foreign",
                "In none of the channels: build them, or take them out",
                [(n, explicit[n].description) for n in foreign],
            )
        )
    rest = len(installed) - len(explicit)
    head = f"Written by `rastos package import`: {len(explicit)} packages asked for, {rest} more came with them."
    return Capture(sets_text(sets, head), len(explicit), foreign, rest)


def _groups(
    explicit: Mapping[str, PackageRecord], indexes: Sequence[SyncIndex]
) -> tuple[list[tuple[str, int]], set[str]]:
    """Groups whose every member was asked for, and the members."""
    names = {group for record in explicit.values() for group in record.groups}
    whole: list[tuple[str, int]] = []
    grouped: set[str] = set()
    for name in sorted(names):
        members = {member.name for index in indexes for member in index.group(name)}
        if len(members) > 1 and members <= set(explicit):
            whole.append((name, len(members)))
            grouped |= members
    return whole, grouped


def _dpkg(root: Path) -> dict[str, PackageRecord]:
    """dpkg's packages; what apt notes as installed automatically counts as a dependency."""
    from .channels.debian.control import paragraphs

    automatic = set()
    states = root / "var/lib/apt/extended_states"
    if states.is_file():
        with states.open(encoding="utf-8", errors="replace") as stream:
            automatic = {f.get("Package", "") for f in paragraphs(stream) if f.get("Auto-Installed") == "1"}
    found = {}
    with (root / _DPKG).open(encoding="utf-8", errors="replace") as stream:
        for fields in paragraphs(stream):
            name = fields.get("Package", "")
            if name and fields.get("Status", "").endswith(" installed"):
                reason = "dependency" if name in automatic else "explicit"
                text = fields.get("Description", "").splitlines()[:1]
                found[name] = PackageRecord(name, fields.get("Version", ""), description="".join(text), reason=reason)
    return found
