"""Getting all of a container together before anything of it is used: from a file, or put aside from a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from rastos.errors import ExternalError, IntegrityError
from rastos.host import faults
from rastos.progress import Step

from ..signing import Trust
from .container import Chunk, End, Header, Index, Part, Signature, Truncated, damaged, read_parts
from .incoming import Incoming, read_header
from .spool import Spool


def announced(parts: Iterator[Part]) -> Incoming | None:
    """What the header says that comes; None where nothing comes."""
    head = next(parts, None)
    if head is not None and not isinstance(head, Header):
        raise damaged("it has no header at its beginning")
    return read_header(head) if head is not None else None


@contextmanager
def whole_stream(
    source: IO[bytes],
    start: int | None,
    parts: Iterator[Part],
    coming: Incoming,
    spool: Spool,
    trust: Trust,
    step: Step,
) -> Iterator[tuple[Iterator[bytes], str]]:
    """The stream, all of it here and signed, and its signer; what was put aside goes when the block has used it."""
    trust.expect(coming.signed, f"the stream of '{coming.label}'")
    came = _in_file(source, start, parts) if start is not None else None
    if came is None:
        if start is not None:
            source.seek(start)
            parts = read_parts(source)
            next(parts)
        came = _put_aside(parts, spool, step)
    try:
        if came.index.header != coming.digest or came.index.chunks != came.digests:
            raise damaged("its index belongs to another stream")
        signer = trust.check(came.index.raw, came.signature, f"the stream of '{coming.label}'")
        faults.reached("receive.verified")
        yield came.stream, signer
    except Truncated:
        raise
    except (IntegrityError, ExternalError):  # with more of the same it would not become better
        spool.drop()
        raise
    spool.drop()
    faults.reached("receive.cleared")


@dataclass(frozen=True, slots=True)
class _Came:
    """A container that is here as a whole: `stream` is what was in its chunks, read when it is needed."""

    index: Index
    signature: bytes
    digests: tuple[str, ...]
    stream: Iterator[bytes]


def _in_file(source: IO[bytes], start: int, parts: Iterator[Part]) -> _Came | None:
    """What can be read again from a file; None where the file is cut off or begins in the middle of a stream."""
    index, signature = None, b""
    digests: list[str] = []
    try:
        for part in parts:
            if isinstance(part, Chunk):
                if part.number != len(digests):
                    return None
                digests.append(part.digest)
            elif isinstance(part, Index):
                index = part
            elif isinstance(part, Signature):
                signature = part.raw
    except Truncated:
        return None
    if index is None or len(digests) != len(index.chunks):  # the others may have been put aside before
        return None
    return _Came(index, signature, tuple(digests), _again(source, start, index))


def _again(source: IO[bytes], start: int, index: Index) -> Iterator[bytes]:
    """The stream, each chunk held to the index that was verified meanwhile."""
    source.seek(start)
    for part in read_parts(source):
        if isinstance(part, Chunk):
            if index.chunks[part.number : part.number + 1] != (part.digest,):
                raise damaged("the file changed while it was read")
            yield part.plain()


def _put_aside(parts: Iterator[Part], spool: Spool, step: Step) -> _Came:
    """Keep chunks until all are there. Truncated says how many are kept."""
    index, signature, ended = None, b"", False
    have, came = list(spool.digests), 0
    try:
        for part in parts:
            if isinstance(part, Chunk):
                spool.take(part, have)
                came += len(part.frame)
                step.advance(came)
            elif isinstance(part, Index):
                index = part
            elif isinstance(part, Signature):
                signature = part.raw
            ended = isinstance(part, End)
    except Truncated as cut:
        raise Truncated(f"the stream was cut off; {len(have)} chunks of it are kept") from cut
    if index is None or not ended:
        raise damaged("it has no index")
    return _Came(index, signature, spool.digests, spool.plain())
