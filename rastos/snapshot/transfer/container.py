"""The container a snapshot travels in: a header, the btrfs stream in chunks, an index with every digest, a signature.

    rastos-snapshot-stream 1\\n
    H length  JSON: the snapshot and what its stream needs
    C length  number (u32), SHA-256 of the plain chunk, the chunk as one zstd frame; again and again
    I length  JSON: digest of the header, digests of all chunks
    S length  detached OpenPGP signature over the index; may be missing
    E 0

Lengths are u64, everything little-endian. Several containers may follow one another. The index comes last, so that a stream
can be written while btrfs makes it; a reader uses nothing before it has seen the index and its signature.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import zstandard

from rastos.errors import IntegrityError

MAGIC = b"rastos-snapshot-stream 1\n"
FAMILY = b"rastos-snapshot-stream "
CHUNK = 4 << 20  # bytes of a chunk as we write it
LEVEL = 3
_LIMITS = {b"H": 1 << 20, b"C": 65 << 20, b"I": 64 << 20, b"S": 1 << 16, b"E": 0}
_LARGEST_CHUNK = 64 << 20
_HEAD = struct.Struct("<cQ")
_NUMBER = struct.Struct("<I")


class Truncated(IntegrityError):
    """The container ends before its end: what came so far is whole."""

    default_next_step = "send it again: what is here already is not needed twice"


@dataclass(frozen=True, slots=True)
class Header:
    """What is sent; `raw` are its bytes as written."""

    raw: bytes
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of the stream: its number, the digest of its plain content, and the zstd frame."""

    number: int
    digest: str
    frame: bytes

    def plain(self) -> bytes:
        """The content, held to its digest. IntegrityError: damaged."""
        try:
            data = zstandard.ZstdDecompressor().decompress(self.frame, max_output_size=_LARGEST_CHUNK)
        except zstandard.ZstdError as error:
            raise damaged(f"chunk {self.number}: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise damaged(f"chunk {self.number} is not what its digest says")
        return data


@dataclass(frozen=True, slots=True)
class Index:
    """Every digest; `raw` is what is signed."""

    raw: bytes
    header: str
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Over the index."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The container is complete."""


Part = Header | Chunk | Index | Signature | End


def make_header(value: dict[str, Any]) -> Header:
    """A header to send."""
    return Header(json.dumps(value, sort_keys=True).encode(), value)


def make_chunk(number: int, data: bytes) -> Chunk:
    """A chunk to send."""
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(data)
    return Chunk(number, hashlib.sha256(data).hexdigest(), frame)


def make_index(header: Header, chunks: list[str]) -> Index:
    """The index of what was sent."""
    digest = hashlib.sha256(header.raw).hexdigest()
    value = {"what": "rastos snapshot stream", "header": digest, "chunks": chunks}
    return Index(json.dumps(value, sort_keys=True).encode(), digest, tuple(chunks))


def write_part(target: IO[bytes], part: Part) -> None:
    """Write one part; a header begins a container."""
    if isinstance(part, Header):
        target.write(MAGIC)
        _record(target, b"H", part.raw)
    elif isinstance(part, Chunk):
        _record(target, b"C", _NUMBER.pack(part.number) + bytes.fromhex(part.digest) + part.frame)
    elif isinstance(part, Index):
        _record(target, b"I", part.raw)
    elif isinstance(part, Signature):
        _record(target, b"S", part.raw)
    else:
        _record(target, b"E", b"")


def read_parts(source: IO[bytes]) -> Iterator[Part]:
    """The parts of one container; nothing where the source ends before it. Nothing is checked yet but the form.

    Truncated: it ends in the middle. IntegrityError: not a container, or one of a later format.
    """
    magic = source.read(len(MAGIC))
    if not magic:
        return
    if magic != MAGIC:
        if magic.startswith(FAMILY):
            raise IntegrityError("a stream of a later format", next_step="update rastos on this machine")
        raise IntegrityError("this is no snapshot stream", next_step="make one: rastos snapshot send ID -o FILE")
    while True:
        kind, length = _HEAD.unpack(_exactly(source, _HEAD.size))
        if kind not in _LIMITS or length > _LIMITS[kind]:
            raise damaged(f"a part of kind {kind!r} with {length} bytes")
        data = _exactly(source, length)
        if kind == b"E":
            yield End()
            return
        yield _part(kind, data)


def _part(kind: bytes, data: bytes) -> Part:
    if kind == b"S":
        return Signature(data)
    if kind == b"C":
        if len(data) < _NUMBER.size + 32:
            raise damaged("a chunk without its digest")
        at = _NUMBER.size
        return Chunk(_NUMBER.unpack_from(data)[0], data[at : at + 32].hex(), data[at + 32 :])
    try:
        value = json.loads(data)
    except ValueError as error:
        raise damaged(f"unreadable JSON: {error}") from error
    if not isinstance(value, dict):
        raise damaged("a part that is no object")
    if kind == b"H":
        return Header(data, value)
    chunks = value.get("chunks")
    if value.get("what") != "rastos snapshot stream" or not isinstance(chunks, list):
        raise damaged("its index is not one")
    return Index(data, str(value.get("header")), tuple(str(item) for item in chunks))


def _record(target: IO[bytes], kind: bytes, data: bytes) -> None:
    target.write(_HEAD.pack(kind, len(data)))
    target.write(data)


def _exactly(source: IO[bytes], count: int) -> bytes:
    data = source.read(count)
    while len(data) < count:
        more = source.read(count - len(data))
        if not more:
            raise Truncated("the stream ends before its end")
        data += more
    return data


def damaged(why: str) -> IntegrityError:
    """The error for a container that is not as it was written."""
    return IntegrityError(f"a damaged snapshot stream: {why}", next_step="nothing was kept of it; send it again")
