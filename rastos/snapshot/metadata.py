"""What is recorded of snapshots and deployments, and its JSON form."""

from __future__ import annotations

import re
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from types import NoneType
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
        """From a record; what is not there is not asked. TypeError: it is not what rastos writes."""
        return cls(
            _names(value.get("install", ())),
            _names(value.get("remove", ())),
            bool(value.get("upgrade")),
            tuple(_names(command) for command in value.get("commands", ())),
            bool(value.get("network")),
            bool(value.get("files")),
        )

    def then(self, later: Intent) -> Intent:
        """Both as one: what was installed and then removed is not installed, and the reverse."""
        install = [name for name in self.install if _package(name) not in later.remove]
        remove = [name for name in self.remove if name not in {_package(text) for text in later.install}]
        return Intent(
            tuple(dict.fromkeys((*install, *later.install))),
            tuple(dict.fromkeys((*remove, *later.remove))),
            self.upgrade or later.upgrade,
            (*self.commands, *later.commands),
            self.network or later.network,
            self.files or later.files,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One node of the tree. `id` is never reused; `created` is ISO 8601 UTC; `kernel` the release it boots, or "".

    `pinned`: retention never takes it. `stamps`: versions of the state its programs write ("postgresql", "15").
    `origin`: the uuid of the snapshot it was received from, on another machine. `succeeds`: the snapshot whose place it
    took, with its name and tags: it was made from it by a rebase, or by a change of a whole branch. `proven`: when a boot
    of it was first seen to have gone well, "" if never.
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
    proven: str = ""

    def to_json(self) -> dict[str, Any]:
        """As written to snapshot.json."""
        # asdict copies all the way down, which took a listing of ten thousand most of its time
        whole = {key: getattr(self, key) for key in SNAPSHOT_KEYS}
        whole["delta"] = {key: getattr(self.delta, key) for key in DELTA_KEYS}
        whole["intent"] = {key: getattr(self.intent, key) for key in INTENT_KEYS}
        return whole

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Snapshot:
        """From snapshot.json; unknown keys of later versions are ignored.

        Raises ValueError, TypeError or KeyError where it is not what rastos writes: files are edited by hand as well.
        """
        known = {key: value[key] for key in SNAPSHOT_KEYS if key in value}
        for key, kinds in _KINDS.items():
            if not isinstance(known[key], kinds) or isinstance(known[key], bool):
                raise TypeError(f"{key} is {known[key]!r}")
        for key, value_of in known.items():
            if key in _TEXTS and not isinstance(value_of, str):
                raise TypeError(f"{key} is {value_of!r}")
        if "/" in known.get("kernel", "") or not isinstance(known.get("packages", 0), int):
            raise ValueError("kernel or packages are not what they are called")
        datetime.fromisoformat(known["created"])
        delta, intent, tags, stamps = (known.get(key) for key in ("delta", "intent", "tags", "stamps"))
        known["delta"] = Delta(**{key: _names(delta.get(key, ())) for key in DELTA_KEYS}) if delta else NO_DELTA
        known["intent"] = Intent.from_json(intent) if intent else NO_INTENT
        known["tags"] = _names(tags) if tags else ()
        known["stamps"] = tuple((str(name), str(version)) for name, version in stamps) if stamps else ()
        known["pinned"] = bool(known.get("pinned"))
        for key in ("name", "description"):  # they are shown on terminals, and may come from another machine
            text = known.get(key, "")
            if not text.isprintable():
                known[key] = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        return cls(**known)

    def to_line(self) -> dict[str, Any]:
        """For the index: what is not as by default."""
        whole = self.to_json()
        return {
            key: whole[key] for key in SNAPSHOT_KEYS if key not in _DEFAULTS or getattr(self, key) != _DEFAULTS[key]
        }

    @classmethod
    def from_line(cls, value: dict[str, Any]) -> Snapshot:
        """From the index, which only rastos writes: nothing is checked but what its reading checks by itself."""
        delta, intent = value.get("delta"), value.get("intent")
        value["delta"] = Delta(**{key: tuple(delta[key]) for key in DELTA_KEYS}) if delta else NO_DELTA
        value["intent"] = Intent.from_json(intent) if intent else NO_INTENT
        for key, item in value.items():
            if isinstance(item, list):
                value[key] = tuple(tuple(part) if isinstance(part, list) else part for part in item)
        return cls(**value)


SNAPSHOT_KEYS = tuple(item.name for item in fields(Snapshot))
DELTA_KEYS = tuple(item.name for item in fields(Delta))
INTENT_KEYS = tuple(item.name for item in fields(Intent))
NO_DELTA, NO_INTENT = Delta(), Intent()
_DEFAULTS: dict[str, Any] = {
    item.name: item.default_factory() if item.default_factory is not MISSING else item.default
    for item in fields(Snapshot)
    if item.default is not MISSING or item.default_factory is not MISSING
}
_TEXTS = frozenset(key for key, value in _DEFAULTS.items() if isinstance(value, str))
_KINDS: dict[str, type | tuple[type, ...]] = {"id": int, "uuid": str, "parent": (int, NoneType), "created": str}


def _package(target: str) -> str:
    """The package a target names: `channel/name>=1` is name."""
    return re.split(r"[<>=]", target.rpartition("/")[2], maxsplit=1)[0]


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{value!r} is not a list")
    return tuple(map(str, value))


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


def delta_between(before: dict[str, str], after: dict[str, str]) -> Delta:
    """What `after` has more, fewer and in another version: package names to versions."""
    return Delta(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
    )
