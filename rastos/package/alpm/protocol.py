"""Messages between session and worker: one JSON object per line, `type` names the class."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args


@dataclass(frozen=True)
class TransactionRequest:
    """One transaction: `install` are (database, name, version), `explicit`/`dependencies` the reasons to set afterwards.

    A package that is there in the same or a newer version is installed again, or goes back. `files` are the package files of
    `install`, `conflicting` those of `remove` that a new package is in conflict with (the pacman program needs both).
    Patterns are libalpm's. `hold`: names that may not be removed. `hookdirs`: beside libalpm's own folder in the tree.
    `dbonly` writes the database and no files. `commit` false stops after libalpm's own check. `crash_at` (import, native,
    prepare, commit, package) makes the worker fail there as it does when libalpm does, `unchecked` leaves libalpm's look at
    the free space out; tests use it.
    """

    root: str
    database: str
    cache: str
    databases: tuple[str, ...] = ()
    install: tuple[tuple[str, str, str], ...] = ()
    remove: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    conflicting: tuple[str, ...] = ()
    noextract: tuple[str, ...] = ()
    noupgrade: tuple[str, ...] = ()
    overwrite: tuple[str, ...] = ()
    hookdirs: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    force_hold: bool = False
    dbonly: bool = False
    commit: bool = True
    crash_at: str = ""


@dataclass(frozen=True)
class Prepared:
    """libalpm accepts the transaction: what it would add and remove."""

    add: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass(frozen=True)
class Progressed:
    """Package `at` of `total` stands at `percent`; `target` is its name, or empty for a check of all of them."""

    target: str
    percent: int
    total: int
    at: int


@dataclass(frozen=True)
class Logged:
    """A line of libalpm's log or of a scriptlet; level is error, warning or info."""

    level: str
    text: str


@dataclass(frozen=True)
class HookStarted:
    """libalpm runs one of its hooks."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class ScriptPrinted:
    """A line that a package's install script printed; of a hook where `package` is empty."""

    package: str
    line: str


@dataclass(frozen=True)
class ConfigFileMade:
    """A `.pacnew` or `.pacsave` was made: `path` in the tree, with a leading slash."""

    path: str
    package: str


@dataclass(frozen=True)
class OptionalRemoved:
    """`dependency`, which `package` can make use of, was removed."""

    package: str
    dependency: str


@dataclass(frozen=True)
class Asked:
    """libalpm asked something that the plan should have settled; the answer was no."""

    question: str


@dataclass(frozen=True)
class Limited:
    """The worker does without ctypes, and why: no hooks of the tree's /etc, no overwrite patterns, no event texts."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """libalpm refused: `stage` (import, start, prepare, commit), its message and number, every detail it gave.

    `broken` are packages that it has put into the database though not all of their files are there.
    """

    stage: str
    message: str
    number: int
    details: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """The transaction is complete."""


Message = (
    TransactionRequest
    | Prepared
    | Progressed
    | Logged
    | HookStarted
    | ScriptPrinted
    | ConfigFileMade
    | OptionalRemoved
    | Asked
    | Limited
    | Failed
    | Done
)
_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps({"type": type(message).__name__, **asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. ValueError: it isn't one."""
    try:
        values = json.loads(line)
        kind = _TYPES[values.pop("type")]
        message: Message = kind(**{key: _frozen(value) for key, value in values.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message: {line[:80]!r}") from error
    return message


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
