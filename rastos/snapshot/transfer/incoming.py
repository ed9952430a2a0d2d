"""What a header says of the snapshot that comes, made harmless: it was written by somebody else."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rastos.errors import IntegrityError

from ..metadata import Delta, Intent, Snapshot, now
from .container import Header
from .have import HEX

_LONGEST = 200  # characters of a name or a description
_NOTE = 20_000


@dataclass(frozen=True, slots=True)
class Incoming:
    """A snapshot on its way in: `stream`, `base` are subvolume UUIDs, `base_snapshot`, `parent` snapshots' ("" for none).

    `snapshot` has no id and no parent here yet; `manifest` is the digest its tree must have, or "".
    `signed`: a signature is announced; whether there is one is seen at the end.
    """

    snapshot: Snapshot
    store: str
    parent: str
    stream: str
    base: str
    base_snapshot: str
    manifest: str
    digest: str
    signed: bool

    @property
    def label(self) -> str:
        """How it is called before it is here."""
        return self.snapshot.name or self.snapshot.description or self.snapshot.uuid


def read_header(header: Header) -> Incoming:
    """IntegrityError: something it must say is missing or malformed."""
    value = header.value
    try:
        stream, base, manifest = (str(value.get(key, "")) for key in ("stream", "base", "manifest"))
        if not HEX.match(stream) or (base and not HEX.match(base)) or base == stream:
            raise ValueError("the UUIDs of its subvolumes")
        if manifest and (len(manifest) != 64 or set(manifest) - set("0123456789abcdef")):
            raise ValueError("the digest of its manifest")
        return Incoming(
            snapshot=clean_words(dict(value["snapshot"])),
            store=_uuid(value.get("store", "")),
            parent=_uuid(value.get("parent", "")),
            stream=stream,
            base=base,
            base_snapshot=_uuid(value.get("base_snapshot", "")),
            manifest=manifest,
            digest=hashlib.sha256(header.raw).hexdigest(),
            signed=value.get("signed") is True,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"the header of the stream is malformed: {error}", next_step="nothing was kept of it; send it again"
        ) from error


def clean_words(value: dict[str, Any]) -> Snapshot:
    """A snapshot's record from outside: no id, no parent, words that a terminal shows as they are. ValueError: none."""
    found = Snapshot.from_json(value)
    name = _line(found.name)
    intent = Intent(
        tuple(_line(item) for item in found.intent.install),
        tuple(_line(item) for item in found.intent.remove),
        found.intent.upgrade,
        tuple(tuple(str(word) for word in command) for command in found.intent.commands),
    )
    return replace(
        found,
        id=-1,
        uuid=_uuid(found.uuid, needed=True),
        parent=None,
        created=_time(found.created),
        description=_line(found.description),
        name="" if name.isdigit() or name == "latest" else name,
        tags=tuple(tag for item in found.tags if (tag := _line(item)) and not tag.isdigit()),
        note="".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in str(found.note))[:_NOTE],
        stamps=tuple((_line(what), _line(version)) for what, version in found.stamps),
        pinned=False,
        delta=Delta(),
        intent=intent,
        origin=_uuid(found.uuid),
    )


def _line(text: Any) -> str:
    """One line a terminal shows as it is."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return " ".join(plain.split())[:_LONGEST]


def _uuid(text: Any, *, needed: bool = False) -> str:
    return str(uuid.UUID(str(text))) if text or needed else ""


def _time(text: Any) -> str:
    found = datetime.fromisoformat(str(text))
    return found.isoformat(timespec="seconds") if found.tzinfo else now()
