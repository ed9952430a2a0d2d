"""A whole suite as a pacman sync database: one `desc` per package, beside it the records the channel needs later."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from rastos.host import sync_directory

from . import relations
from .relations import Relation
from .versions import package_version

# Part of every cache key: count up when database or packages would come out differently.
FORMAT = 6
# its postinst rewrites the tree; packages here are merged already and usr-is-merged stands in
LEFT_OUT = frozenset({"usrmerge"})
# the fields of a record that its package is made of
CONVERTED = ("name", "version", "debian_version", "arch", "description", "url", "depends", "provides", "conflicts")
_ALLOWED = "\nMulti-Arch: allowed\n"
_ARCHITECTURES = {"amd64": "x86_64", "all": "any"}


@dataclass(frozen=True)
class Record:
    """One package of the suite: what its pacman package says, and where its .deb is (`uri` complete, sha256, size)."""

    name: str
    version: str
    debian_version: str
    arch: str
    description: str
    url: str
    section: str
    essential: bool
    uri: str
    sha256: str
    size: int
    installed_size: int
    depends: tuple[str, ...]
    provides: tuple[str, ...]
    conflicts: tuple[str, ...]
    replaces: tuple[str, ...]

    @property
    def filename(self) -> str:
        """Name of the converted package."""
        return f"{self.name}-{self.version}-{self.arch}.pkg.tar.zst"


def allowed_names(index: str) -> frozenset[str]:
    """Packages that are Multi-Arch: allowed, which is what a dependency on `name:any` asks for."""
    found = set()
    position = index.find(_ALLOWED)
    while position >= 0:
        start = index.rfind("\nPackage: ", 0, position) + 1
        found.add(index[start + 9 : index.find("\n", start)])
        position = index.find(_ALLOWED, position + 1)
    return frozenset(found)


def records(index: str, uri: str, allowed: frozenset[str] = frozenset()) -> Iterator[Record]:
    """The packages of one Packages file whose archive is at `uri`; stanzas that cannot be mapped are left out."""
    for stanza in index.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.split("\n"):
            name, separator, value = line.partition(": ")
            if separator and name[0] != " ":
                fields[name] = value
        name = fields.get("Package", "")
        if not name or name in LEFT_OUT or fields.get("Architecture") not in _ARCHITECTURES or "SHA256" not in fields:
            continue
        try:
            yield _record(name, fields, uri, allowed)
        except (ValueError, KeyError):
            continue


def _record(name: str, fields: Mapping[str, str], uri: str, allowed: frozenset[str]) -> Record:
    return Record(
        name=name,
        version=package_version(fields["Version"]),
        debian_version=fields["Version"],
        arch=_ARCHITECTURES[fields["Architecture"]],
        description=fields.get("Description", ""),
        url=fields.get("Homepage", ""),
        section=fields.get("Section", ""),
        essential=fields.get("Essential") == "yes" or fields.get("Priority") == "required",
        uri=f"{uri}/{fields['Filename']}",
        sha256=fields["SHA256"],
        size=int(fields["Size"]),
        installed_size=int(fields.get("Installed-Size", "0")) * 1024,
        depends=relations.depends(fields.get("Pre-Depends", ""), fields.get("Depends", ""), allowed=allowed),
        provides=relations.provides(fields.get("Provides", "")),
        conflicts=relations.conflicts(name, fields.get("Conflicts", ""), fields.get("Breaks", "")),
        replaces=relations.replaces(fields.get("Replaces", "")),
    )


def merge(found: Iterable[Record]) -> dict[str, Record]:
    """The newest version of each name, with the virtual names of alternatives added to those that satisfy them."""
    newest: dict[str, Record] = {}
    for record in found:
        known = newest.get(record.name)
        if known is None or compare(record.version, known.version) > 0:
            newest[record.name] = record
    providers: dict[str, list[tuple[str, str]]] = {}
    for record in newest.values():
        providers.setdefault(record.name, []).append((record.name, record.version))
        for provided in record.provides:
            name, _, version = provided.partition("=")
            providers.setdefault(name, []).append((record.name, version))
    extra: dict[str, list[str]] = {}
    for group in {d for record in newest.values() for d in record.depends if relations.alternatives_of(d)}:
        for owner in _satisfying(group, providers):
            extra.setdefault(owner, []).append(group)
    for name, groups in extra.items():
        record = newest[name]
        values = {**record.__dict__, "provides": record.provides + tuple(sorted(groups))}
        newest[name] = Record(**values)
    return newest


def _satisfying(group: str, providers: Mapping[str, list[tuple[str, str]]]) -> set[str]:
    found = set()
    for text in relations.alternatives_of(group) or ():
        wanted = split_dependency(text)
        for owner, version in providers.get(wanted.name, ()):
            if not wanted.operator or (version and holds(compare(version, wanted.version), wanted.operator)):
                found.add(owner)
    return found


def split_dependency(text: str) -> Relation:
    """A libalpm dependency string taken apart."""
    for operator in ("<=", ">=", "<", ">", "="):
        name, found, version = text.partition(operator)
        if found:
            return Relation(name, operator, version)
    return Relation(text)


def holds(comparison: int, operator: str) -> bool:
    """Whether an order (-1, 0, 1) meets an operator of libalpm."""
    return {"<": comparison < 0, "<=": comparison <= 0, "=": comparison == 0, ">=": comparison >= 0}.get(
        operator, comparison > 0
    )


@functools.lru_cache(maxsize=100_000)
def _key(version: str) -> tuple[int, tuple[str | int, ...]]:
    epoch, _, text = version.removesuffix("-1").rpartition(":")
    return int(epoch or 0), tuple(int(part) if part.isdigit() else part for part in _segments(text))


def _segments(text: str) -> Iterator[str]:
    start = 0
    for position in range(1, len(text) + 1):
        if position == len(text) or text[position].isdigit() != text[start].isdigit():
            yield text[start:position]
            start = position


def compare(one: str, two: str) -> int:
    """-1, 0, 1 for mapped versions; faster than libalpm's way, for versions that `encode` made."""
    first, second = _key(one), _key(two)
    return (first > second) - (first < second)


def write_index(packages: Mapping[str, Record], database: Path, store: Path) -> None:
    """Write the sync database and the record store, each under a temporary name first."""
    database.parent.mkdir(parents=True, exist_ok=True)
    temporary = database.with_suffix(".part")
    with temporary.open("wb") as stream, zstandard.ZstdCompressor(level=1).stream_writer(stream) as out:
        for name in sorted(packages):
            record = packages[name]
            content = _desc(record).encode()
            out.write(_header(f"{name}-{record.version}/desc", len(content)) + content + b"\0" * (-len(content) % 512))
        out.write(b"\0" * 1024)
    records_file = store.with_suffix(".part")
    records_file.unlink(missing_ok=True)
    with sqlite3.connect(records_file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE record (name TEXT PRIMARY KEY, essential INTEGER, body TEXT) WITHOUT ROWID")
        connection.executemany(
            "INSERT INTO record VALUES (?, ?, ?)",
            ((n, packages[n].essential, json.dumps(packages[n].__dict__)) for n in sorted(packages)),
        )
    connection.close()
    for path, final in ((records_file, store), (temporary, database)):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(path, final)
    sync_directory(database.parent)


def read_records(store: Path, names: Iterable[str]) -> dict[str, Record]:
    """The records of these names that exist."""
    found = {}
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        for name in names:
            for (body,) in connection.execute("SELECT body FROM record WHERE name = ?", (name,)):
                values = json.loads(body)
                for field in ("depends", "provides", "conflicts", "replaces"):
                    values[field] = tuple(values[field])
                found[name] = Record(**values)
    finally:
        connection.close()
    return found


def essential_names(store: Path) -> tuple[str, ...]:
    """Names of packages that are essential or of priority required: nothing declares a dependency on them."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        return tuple(name for (name,) in connection.execute("SELECT name FROM record WHERE essential ORDER BY name"))
    finally:
        connection.close()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    if len(name) > 99:
        info.size, info.mode = size, 0o644
        return info.tobuf(tarfile.GNU_FORMAT)
    # TarInfo.tobuf takes 40 µs, this 3: it matters 63,000 times
    head = b"%-100b0000644\x000000000\x000000000\x00%011o\x0000000000000\x00        0%100bustar\x0000%247b" % (
        name.encode() + b"\0" * (100 - len(name)),
        size,
        b"\0" * 100,
        b"\0" * 247,
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def _desc(record: Record) -> str:
    out = [f"%FILENAME%\n{record.filename}\n\n%NAME%\n{record.name}\n\n%BASE%\n{record.name}\n\n"]
    out.append(f"%VERSION%\n{record.version}\n\n%CSIZE%\n{record.size}\n\n%ISIZE%\n{record.installed_size}\n\n")
    out.append(f"%ARCH%\n{record.arch}\n\n")
    for key, values in (
        ("DESC", (record.description,)),
        ("URL", (record.url,)),
        ("DEPENDS", record.depends),
        ("CONFLICTS", record.conflicts),
        ("PROVIDES", record.provides),
    ):
        if values and values[0]:
            out.append(f"%{key}%\n" + "\n".join(values) + "\n\n")
    return "".join(out)


__all__ = [
    "FORMAT",
    "Record",
    "allowed_names",
    "compare",
    "essential_names",
    "holds",
    "merge",
    "read_records",
    "records",
    "split_dependency",
    "write_index",
]
