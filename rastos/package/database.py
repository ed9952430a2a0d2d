"""Reading databases without libalpm: sync databases (tar of desc files) and the local database of a tree.

A whole Debian suite has over 60,000 entries. The tar is walked once by hand (tarfile takes ten times longer), its tables
are kept for the next time, and an entry is parsed only when somebody asks for it.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from rastos.errors import IntegrityError

from .records import PackageRecord, parse_desc
from .tables import Tables, opened, stamp
from .tables import replace as replace_tables
from .tables import write as write_tables

_MAGIC = {b"\x28\xb5\x2f\xfd": "zst", b"\x1f\x8b": "gz", b"\xfd7zXZ": "xz", b"BZh": "bz2"}
_PIECE = 1 << 20
_MAX_DATABASE = 1 << 31  # bytes unpacked; more is an attack or a mistake
_SMALL = 4 << 20  # bytes unpacked; up to this, walking takes no longer than looking for tables
_NAME_END = re.compile(rb"[<>=]")


@contextmanager
def open_decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed content of a zst, gz, xz, bz2 or plain file."""
    with path.open("rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
        if kind == "zst":
            import zstandard

            reader: Any = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            try:
                yield cast("IO[bytes]", io.BufferedReader(reader, 1 << 18))
            except zstandard.ZstdError as error:
                raise IntegrityError(f"a damaged archive: {error}", on=path) from error
        elif kind == "gz":
            import gzip

            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif kind == "xz":
            import lzma

            yield cast("IO[bytes]", lzma.LZMAFile(raw))
        elif kind == "bz2":
            import bz2

            yield cast("IO[bytes]", bz2.BZ2File(raw))
        else:
            yield raw


def read_at_most(stream: IO[bytes], limit: int) -> bytes:
    """All of a stream. ValueError: it has more than `limit` bytes.

    Piece by piece: a reader that is asked for many bytes at once may take memory for all of them before it has any.
    """
    pieces = []
    left = limit
    while piece := stream.read(min(_PIECE, left + 1)):
        left -= len(piece)
        if left < 0:
            raise ValueError(f"more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


class SyncIndex:
    """One sync database: names, who provides what, and records parsed on demand.

    A large database is walked once; its tables lie beside it (`NAME.db.tables`) until it changes, and are mapped, not read.
    """

    def __init__(self, channel: str, tables: Tables) -> None:
        self.channel = channel
        self._tables = tables
        self._records: dict[str, PackageRecord] = {}

    @classmethod
    def load(cls, path: Path, channel: str = "") -> SyncIndex:
        """Read a database file. IntegrityError: damaged."""
        name = channel or path.name.split(".db")[0]
        try:
            wanted = stamp(path)
            beside = path.with_name(f"{path.name}.tables")
            found = opened(beside, wanted)
            if found is None:
                with open_decompressed(path) as stream:
                    data = read_at_most(stream, _MAX_DATABASE)
                found = _made(data, *_walk(data), beside, wanted)
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise IntegrityError(f"a damaged package database: {error}", on=path) from error
        return cls(name, found)

    def names(self) -> list[str]:
        """Every package name, sorted."""
        return [name.decode() for name in self._tables.names.all()]

    def __contains__(self, name: str) -> bool:
        return name in self._records or self._tables.names.find(name.encode()) >= 0

    def record(self, name: str) -> PackageRecord:
        """The record of a package. KeyError: none; IntegrityError: its entry is broken."""
        found = self._records.get(name)
        if found is None:
            at = self._tables.names.find(name.encode())
            if at < 0:
                raise KeyError(name)
            text = self._tables.body(at).decode("utf-8", "replace")
            try:
                found = parse_desc(text, self.channel)
            except ValueError as error:
                raise IntegrityError(
                    f"a broken entry in the package database: {error}", on=f"{self.channel}: {name}"
                ) from error
            if found.name != name:
                raise IntegrityError("an entry under another package's name", on=f"{self.channel}: {name}")
            self._records[name] = found
        return found

    def providers(self, name: str) -> list[str]:
        """Names of the packages that say they provide `name` (not the package `name` itself), sorted."""
        return sorted(set(self._tables.providers(name.encode())) - {name})

    def group(self, name: str) -> list[PackageRecord]:
        """Members of a group, by name."""
        line = f"\n{name}\n".encode()
        members = [key for key, body in self.bodies() if b"%GROUPS%" in body and line in body]
        return [record for record in map(self.record, sorted(members)) if name in record.groups]

    def near(self, name: str) -> list[str]:
        """Names that look like `name`, nearest first."""
        head = name[:1].lower()
        names = self.names()
        alike = [key for key in names if key[:1].lower() == head and abs(len(key) - len(name)) <= 4]
        inside = [key for key in names if len(name) > 3 and name in key][:50]
        return difflib.get_close_matches(name, [*alike, *inside], n=5, cutoff=0.6) or sorted(inside, key=len)[:3]

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        """Every entry as stored, for searching."""
        for at, name in enumerate(self._tables.names.all()):
            yield name.decode(), self._tables.body(at)


Bodies = dict[str, list[tuple[int, int]]]
Provided = dict[str, list[str]]


def _made(data: bytes, bodies: Bodies, provided: Provided, beside: Path, wanted: bytes) -> Tables:
    """Tables of a walked database; kept beside it if it is large and that folder can be written."""
    if len(data) > _SMALL and os.access(beside.parent, os.W_OK):
        part = beside.with_name(f".{beside.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as out:
                write_tables(out, wanted, data, bodies, provided)
            return replace_tables(beside, part)
        except OSError:  # no space, say: then without
            part.unlink(missing_ok=True)
    memory = io.BytesIO()
    write_tables(memory, wanted, data, bodies, provided)
    return Tables(memory.getvalue())


def _walk(data: bytes) -> tuple[Bodies, Provided]:
    bodies: Bodies = {}
    provided: Provided = {}
    position, end, long_name, complete = 0, len(data), b"", False
    while position + 512 <= end:
        header = data[position : position + 512]
        if header[0] == 0 and not header.strip(b"\0"):
            complete = True
            break
        size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
        kind = header[156:157]
        start = position + 512
        if start + size > end:
            raise ValueError("it ends in the middle of an entry")
        position = start + (size + 511) // 512 * 512
        name = header[:100].rstrip(b"\0")
        if header[257:263] == b"ustar\0" and header[345:346] != b"\0":
            name = header[345:500].rstrip(b"\0") + b"/" + name
        if kind == b"L":
            long_name = data[start : start + size].rstrip(b"\0")
            continue
        if kind == b"x":
            long_name = _pax_path(data[start : start + size]) or long_name
            continue
        if long_name:
            name, long_name = long_name, b""
        if kind in (b"0", b"\0") and name.endswith((b"/desc", b"/depends")):
            owner = _owner(name.decode())
            bodies.setdefault(owner, []).append((start, size))
            at = data.find(b"%PROVIDES%\n", start, start + size)
            if at >= 0:
                stop = data.find(b"\n\n", at, start + size)
                for line in data[at + 11 : stop if stop >= 0 else start + size].split(b"\n"):
                    if line:
                        provided.setdefault(_NAME_END.split(line, 1)[0].decode(), []).append(owner)
    if not complete:  # a cut zstd stream reads as a short one, without an error
        raise ValueError("it ends before its end")
    return bodies, provided


def _owner(path: str) -> str:
    name = path.removeprefix("./").rsplit("/", 1)[0].rsplit("-", 2)[0]
    if name.count("/") or not name or "\n" in name:
        raise ValueError(f"an impossible entry '{path}'")
    return name


def _pax_path(data: bytes) -> bytes:
    for line in data.split(b"\n"):
        _, _, rest = line.partition(b" ")
        if rest.startswith(b"path="):
            return rest[5:]
    return b""


def read_local(database: Path) -> dict[str, PackageRecord]:
    """What is installed, by name, from `<database>/local`; empty where there is none. IntegrityError: a broken entry."""
    found: dict[str, PackageRecord] = {}
    folder = database / "local"
    if not folder.is_dir():
        return found
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir() or not (entry / "desc").is_file():
            continue  # without a desc it was being unpacked when libalpm died: see `recovery`
        try:
            record = parse_desc((entry / "desc").read_text(encoding="utf-8", errors="replace"))
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"the database of installed packages is damaged: {error}",
                on=entry,
                next_step="restore this folder from a snapshot, or reinstall the package",
            ) from error
        found[record.name] = record
    return found


def installed_files(database: Path, record: PackageRecord) -> tuple[str, ...]:
    """Paths an installed package owns (no leading slash)."""
    path = database / "local" / f"{record.name}-{record.version}" / "files"
    if not path.is_file():
        return ()
    block = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n\n")[0].split("\n")
    return tuple(block[1:]) if block[0] == "%FILES%" else ()
