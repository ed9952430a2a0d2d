"""What is recorded of snapshots and deployments, and its JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """Packages a snapshot has more, fewer and in another version than its parent (names, sorted)."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def words(self) -> str:
        """+2 −1 ~3, or nothing."""
        parts = ((self.added, "+"), (self.removed, "−"), (self.changed, "~"))
        return " ".join(f"{sign}{len(names)}" for names, sign in parts if names)


@dataclass(frozen=True, slots=True)
class Intent:
    """What was asked of a snapshot beyond its parent: what a rebase onto a changed parent asks again, in this order."""

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    upgrade: bool = False
    commands: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.install or self.remove or self.upgrade or self.commands)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One node of the tree. `id` is never reused; `created` is ISO 8601 UTC; `kernel` the release it boots, or "".

    `pinned`: retention never takes it. `stamps`: versions of the state its programs write ("postgresql", "15").
    `origin`: the uuid of the snapshot it was received from, on another machine.
    """

    id: int
    uuid: str
    parent: int | None
    created: str
    description: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    kernel: str = ""
    packages: int = 0
    package_digest: str = ""
    delta: Delta = field(default_factory=Delta)
    intent: Intent = field(default_factory=Intent)
    note: str = ""
    pinned: bool = False
    stamps: tuple[tuple[str, str], ...] = ()
    origin: str = ""

    def to_json(self) -> dict[str, Any]:
        """As written to snapshot.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Snapshot:
        """From snapshot.json; unknown keys of later versions are ignored."""
        known = {key: value[key] for key in cls.__slots__ if key in value}
        delta = known.get("delta") or {}
        known["delta"] = Delta(**{key: tuple(delta.get(key, ())) for key in ("added", "removed", "changed")})
        intent = known.get("intent") or {}
        known["intent"] = Intent(
            tuple(intent.get("install", ())),
            tuple(intent.get("remove", ())),
            bool(intent.get("upgrade")),
            tuple(tuple(command) for command in intent.get("commands", ())),
        )
        known["tags"] = tuple(known.get("tags", ()))
        known["stamps"] = tuple((str(name), str(version)) for name, version in known.get("stamps", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A snapshot made bootable: its own /etc and boot entry. `etc` says how its /etc came about.

    `trial`: it was to boot once, and not again unless somebody keeps it.
    """

    number: int
    snapshot: int
    created: str
    description: str
    kernel: str
    etc: str
    conflicts: tuple[str, ...] = ()
    trial: bool = False

    def to_json(self) -> dict[str, Any]:
        """As written to deployment.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Deployment:
        """From deployment.json."""
        known = {key: value[key] for key in cls.__slots__ if key in value}
        known["conflicts"] = tuple(known.get("conflicts", ()))
        return cls(**known)


def now() -> str:
    """The time, as recorded."""
    return datetime.now(UTC).isoformat(timespec="seconds")
