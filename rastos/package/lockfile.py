"""`packages.lock`: the exact packages a declaration came to, with the digest of every file and every decision made.

TOML, written in one order so that it can be kept in git and reviewed. Each package carries what its channel said of it, so
that a lockfile can be planned, and an old version fetched, when the channel has long moved on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError

from .records import PackageRecord, shown_version
from .resolve import Choice

FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_TEXTS = (
    "name",
    "version",
    "arch",
    "description",
    "url",
    "filename",
    "sha256",
    "signature",
    "packager",
    "channel",
    "reason",
)
_NUMBERS = ("download_size", "installed_size", "builddate")
_LISTS = ("depends", "provides", "conflicts", "replaces", "optdepends", "groups", "license", "backup")


@dataclass(frozen=True)
class LockedFile:
    """Where a package's file is in its channel's archive (`location` counts from the archive's address), and its digest.

    `signer` is the fingerprint (or key id) the channel's signature names, empty where only an index is signed.
    """

    location: str
    sha256: str
    size: int
    signer: str = ""


@dataclass(frozen=True)
class LockedPackage:
    """One package; `record.reason` is explicit or dependency."""

    record: PackageRecord
    file: LockedFile


@dataclass(frozen=True)
class LockedChannel:
    """A channel as it was: its kind, and the digest of the database that was resolved against."""

    name: str
    kind: str
    database: str


@dataclass(frozen=True)
class Lockfile:
    """A whole lockfile; `manifest` is `Manifest.digest` of what was declared, `groups` maps targets to members."""

    manifest: str
    sets: tuple[str, ...]
    arch: str
    packages: tuple[LockedPackage, ...]
    channels: tuple[LockedChannel, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    as_of: str = ""

    @property
    def records(self) -> tuple[PackageRecord, ...]:
        """Every package, dependencies first."""
        return tuple(package.record for package in self.packages)

    @property
    def by_name(self) -> dict[str, LockedPackage]:
        """Packages by name."""
        return {package.record.name: package for package in self.packages}

    def indexes(self, moves: Collection[str] = ()) -> list[RecordIndex]:
        """The packages as databases by channel, those in `moves` left out."""
        by_channel: dict[str, list[PackageRecord]] = {}
        for record in self.records:
            if record.name not in moves:
                by_channel.setdefault(record.channel, []).append(replace(record, reason=""))
        return [RecordIndex(name, records) for name, records in by_channel.items()]

    def text(self) -> str:
        """The file's content."""
        lines = ["# Written by `rastos package lock`: exact packages of packages.toml. Keep it beside it, in git."]
        lines += [f"format = {FORMAT}", f"manifest = {_quoted(self.manifest)}", f"sets = {_list(self.sets)}"]
        lines += [f"arch = {_quoted(self.arch)}"] + ([f"as_of = {_quoted(self.as_of)}"] if self.as_of else [])
        for channel in self.channels:
            lines += ["", "[[channel]]"]
            lines += [f"{key} = {_quoted(getattr(channel, key))}" for key in ("name", "kind", "database")]
        if self.groups:
            lines += ["", "[groups]", *(f"{_quoted(k)} = {_list(self.groups[k])}" for k in sorted(self.groups))]
        for choice in sorted(self.choices, key=lambda item: (item.wanted, item.by)):
            lines += ["", "[[choice]]"]
            lines += [f"{key} = {_quoted(getattr(choice, key))}" for key in ("wanted", "by", "chosen", "how")]
            lines += [f"others = {_list(choice.others)}"]
        for package in self.packages:
            lines += ["", "[[package]]", *_package(package)]
        return "\n".join(lines) + "\n"


class RecordIndex:
    """Locked records of one channel as the resolver takes an index (`resolve.Index`)."""

    def __init__(self, channel: str, records: Iterable[PackageRecord]) -> None:
        from .relations import parse_dependency

        self.channel = channel
        self._records = {record.name: record for record in records}
        self._provided: dict[str, list[str]] = {}
        for record in self._records.values():
            for text in record.provides:
                self._provided.setdefault(parse_dependency(text).name, []).append(record.name)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def record(self, name: str) -> PackageRecord:
        """The record of a package. KeyError: none."""
        return self._records[name]

    def providers(self, name: str) -> list[str]:
        """Names of the packages that provide `name`."""
        return sorted(set(self._provided.get(name, ())) - {name})

    def group(self, name: str) -> list[PackageRecord]:
        """Members of a group, by name."""
        return [record for key, record in sorted(self._records.items()) if name in record.groups]

    def near(self, name: str) -> list[str]:
        """Names that look like it."""
        import difflib

        return difflib.get_close_matches(name, self._records, n=5)

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        """Nothing: replacements are looked for in the channels themselves."""
        return iter(())


def write_lockfile(path: Path, lock: Lockfile) -> None:
    """Replace the file atomically."""
    from rastos.host import write_atomic

    write_atomic(path, lock.text().encode())


def read_lockfile(path: Path) -> Lockfile:
    """Read and check a lockfile. UserError: none, or of a newer rastos; IntegrityError: not one, or edited wrongly."""
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("there is no lockfile", on=path, next_step="make it: `rastos package lock`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a damaged lockfile: {error}", on=path, next_step="restore it, or lock again") from error
    if document.get("format") != FORMAT:
        raise UserError(
            f"this lockfile has format {document.get('format')!r}, expected {FORMAT}",
            on=path,
            next_step="use the rastos that wrote it, or lock again",
        )
    try:
        return Lockfile(
            manifest=_text(document["manifest"]),
            sets=_texts(document["sets"]),
            arch=_text(document["arch"]),
            packages=tuple(_read_package(item) for item in document.get("package", ())),
            channels=tuple(LockedChannel(**item) for item in document.get("channel", ())),
            groups={key: _texts(value) for key, value in document.get("groups", {}).items()},
            choices=tuple(Choice(**{**item, "others": _texts(item["others"])}) for item in document.get("choice", ())),
            as_of=_text(document.get("as_of", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"a damaged lockfile: {error!r}", on=path, next_step="restore it, or lock again"
        ) from error


def _package(package: LockedPackage) -> list[str]:
    record, file = package.record, package.file
    lines = [f"{key} = {_quoted(getattr(record, key))}" for key in _TEXTS if getattr(record, key)]
    if (shown := shown_version(record.version)) != record.version:
        lines[1] += f"  # {shown}"
    lines += [f"{key} = {getattr(record, key)}" for key in _NUMBERS if getattr(record, key)]
    lines += [f"{key} = {_list(getattr(record, key))}" for key in _LISTS if getattr(record, key)]
    signer = f", signer = {_quoted(file.signer)}" if file.signer else ""
    where = f"location = {_quoted(file.location)}, sha256 = {_quoted(file.sha256)}, size = {file.size}"
    return [*lines, f"file = {{ {where}{signer} }}"]


def _read_package(item: Mapping[str, Any]) -> LockedPackage:
    known = {*_TEXTS, *_NUMBERS, *_LISTS, "file"}
    if unknown := set(item) - known:
        raise ValueError(f"unknown key {sorted(unknown)[0]}")
    values: dict[str, Any] = {key: _text(item[key]) for key in _TEXTS if key in item}
    values |= {key: int(item[key]) for key in _NUMBERS if key in item}
    values |= {key: _texts(item[key]) for key in _LISTS if key in item}
    record = PackageRecord(**values)
    file = LockedFile(**item["file"])
    if {item.name for item in fields(LockedFile)} < set(item["file"]) or not _DIGEST.match(file.sha256):
        raise ValueError(f"{record.name} has no SHA-256")
    if record.sha256 not in ("", file.sha256):
        raise ValueError(f"{record.name} has two digests")
    for text in (record.filename, *file.location.split("/")):
        if text in ("", ".", "..") or "\0" in text or (text == record.filename and "/" in text):
            raise ValueError(f"{record.name} has an impossible file name")
    return LockedPackage(record, file)


def _quoted(text: str) -> str:
    # JSON's strings are TOML's basic strings, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(item) for item in items) + "]"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return tuple(_text(item) for item in value)
