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
    """What was asked of a snapshot beyond its parent: what a rebase onto a changed parent asks again, in this order.

    `network`: its commands had it. `files`: files were changed by hand too, which nothing but the files themselves tells.
    """

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    upgrade: bool = False
    commands: tuple[tuple[str, ...], ...] = ()
    network: bool = False
    files: bool = False

    def __bool__(self) -> bool:
        return bool(self.install or self.remove or self.upgrade or self.commands or self.files)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Intent:
        """From a record; what is not there is not asked."""
        return cls(
            tuple(value.get("install", ())),
            tuple(value.get("remove", ())),
            bool(value.get("upgrade")),
            tuple(tuple(command) for command in value.get("commands", ())),
            bool(value.get("network")),
            bool(value.get("files")),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One node of the tree. `id` is never reused; `created` is ISO 8601 UTC; `kernel` the release it boots, or "".

    `pinned`: retention never takes it. `stamps`: versions of the state its programs write ("postgresql", "15").
    `origin`: the uuid of the snapshot it was received from, on another machine. `succeeds`: the snapshot whose place it
    took, with its name and tags: it was made from it by a rebase, or by a change of a whole branch.
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
    succeeds: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As written to snapshot.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Snapshot:
        """From snapshot.json; unknown keys of later versions are ignored."""
        known = {key: value[key] for key in cls.__slots__ if key in value}
        delta = known.get("delta") or {}
        known["delta"] = Delta(**{key: tuple(delta.get(key, ())) for key in ("added", "removed", "changed")})
        known["intent"] = Intent.from_json(known.get("intent") or {})
        known["tags"] = tuple(known.get("tags", ()))
        known["stamps"] = tuple((str(name), str(version)) for name, version in known.get("stamps", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A snapshot made bootable: its own /etc and boot entry. `etc` says how its /etc came about."""

    number: int
    snapshot: int
    created: str
    description: str
    kernel: str
    etc: str
    conflicts: tuple[str, ...] = ()

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
