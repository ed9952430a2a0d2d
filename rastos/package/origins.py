"""Where a tree's packages came from: channel, file and digest of each, kept beside libalpm's database.

libalpm records neither the channel nor the digest of the file that was installed; a list of a system's parts needs both.
`origins.json` in the database folder has one entry for each package that rastos installed, with the version it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rastos.errors import IntegrityError, RastosError

from .records import PackageRecord
from .target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from .channels import Channel
    from .lockfile import LockedFile
    from .plan import Plan

FILE = "origins.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """The file a package was made of: `location` counts from the channel's archive, `size` in bytes.

    `sha256` is the archive's own digest of it (a .deb's, where the channel converts those), "" where nobody says.
    """

    version: str
    channel: str
    location: str
    sha256: str
    size: int
    signer: str = ""


def read_origins(database: Path) -> dict[str, Origin]:
    """The origins by package name; {} where none were recorded. An entry that is not what rastos writes is left out."""
    from rastos.host import read_json

    try:
        entries: Any = read_json(database / FILE)["packages"]
        return {str(name): _origin(value) for name, value in entries.items() if _sound(value)}
    except (OSError, IntegrityError, KeyError, TypeError, AttributeError):
        return {}


def record_origins(target: Target, plan: Plan, channels: Sequence[Channel], there: Mapping[str, PackageRecord]) -> None:
    """Write down where what a plan has just installed came from; what is not there any more is forgotten."""
    from rastos.host import write_json

    known = read_origins(target.database)
    by_channel: dict[str, list[PackageRecord]] = {}
    for record in plan.records:
        by_channel.setdefault(record.channel, []).append(record)
    for channel in channels:
        records = by_channel.get(channel.name, [])
        files = _located(channel, [record.name for record in records if record.name not in plan.locked])
        for record in records:
            locked = plan.locked.get(record.name)
            file = locked.file if locked else files.get(record.name)
            known[record.name] = (
                Origin(record.version, channel.name, file.location, file.sha256, file.size, file.signer)
                if file
                else Origin(record.version, channel.name, record.filename, record.sha256, record.download_size)
            )
    kept = {n: asdict(o) for n, o in sorted(known.items()) if n in there and there[n].version == o.version}
    write_json(target.database / FILE, {"format": 1, "packages": kept})


def _located(channel: Channel, names: Sequence[str]) -> Mapping[str, LockedFile]:
    try:
        return channel.locate(names) if names else {}
    except RastosError:  # it was installed; that its archive can't be asked any more is no reason to fail
        return {}


def _sound(value: Any) -> bool:
    texts = ("version", "channel", "location", "sha256")
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in texts)


def _origin(value: Mapping[str, Any]) -> Origin:
    size = value.get("size")
    return Origin(
        value["version"],
        value["channel"],
        value["location"],
        value["sha256"],
        size if isinstance(size, int) else 0,
        str(value.get("signer", "")),
    )


__all__ = ["Origin", "read_origins", "record_origins"]
