"""Messages between session and worker: one JSON object per line, `type` names the class."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TransactionRequest:
    """One transaction: `install` are (database, name, version), `explicit`/`dependencies` the reasons to set afterwards.

    `commit` false stops after libalpm's own check. `crash_at` (prepare, commit, package) makes the worker die there as it
    does when libalpm does; tests use it.
    """

    root: str
    database: str
    cache: str
    databases: tuple[str, ...] = ()
    install: tuple[tuple[str, str, str], ...] = ()
    remove: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
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
class Failed:
    """libalpm refused: `stage` (start, prepare, commit), its message and number, every detail it gave."""

    stage: str
    message: str
    number: int
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """The transaction is complete."""


Message = TransactionRequest | Prepared | Progressed | Logged | Failed | Done
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (TransactionRequest, Prepared, Progressed, Logged, Failed, Done)
}


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
