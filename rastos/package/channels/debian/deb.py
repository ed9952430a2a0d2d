"""Reading a .deb (deb(5)): an ar archive of `debian-binary`, `control.tar.*` and `data.tar.*`."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from rastos.errors import IntegrityError


class _Slice(io.RawIOBase):
    """`size` bytes of a file from where it stands."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)


def _members(stream: IO[bytes], path: Path) -> Iterator[tuple[str, int]]:
    if stream.read(8) != b"!<arch>\n":
        raise IntegrityError("not a Debian package", on=path)
    while header := stream.read(60):
        try:
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        except ValueError as error:
            raise IntegrityError("a damaged Debian package", on=path) from error
        start = stream.tell()
        yield name, size
        stream.seek(start + size + size % 2)


def _plain(name: str, raw: IO[bytes], path: Path) -> IO[bytes]:
    if name.endswith(".xz"):
        return cast("IO[bytes]", lzma.LZMAFile(raw))
    if name.endswith(".zst"):
        return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    if name.endswith(".gz"):
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if name.endswith(".tar"):
        return raw
    raise IntegrityError(f"a Debian package with an unknown compression ({name})", on=path)


@contextmanager
def archive(path: Path, part: str) -> Iterator[tarfile.TarFile]:
    """The `control` or `data` archive of a .deb as a stream; damage is an IntegrityError."""
    with path.open("rb") as stream:
        for name, size in _members(stream, path):
            if not name.startswith(f"{part}.tar"):
                continue
            source = _plain(name, io.BufferedReader(_Slice(stream, size), 1 << 16), path)
            try:
                with tarfile.open(fileobj=source, mode="r|", bufsize=1 << 18) as opened:
                    yield opened
            except (tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError) as error:
                raise IntegrityError(f"a damaged Debian package: {error}", on=path) from error
            return
    raise IntegrityError(f"a Debian package without {part}.tar", on=path)


def control_files(path: Path) -> dict[str, tuple[bytes, int]]:
    """The control archive: plain name → (content, mode)."""
    found = {}
    with archive(path, "control") as opened:
        for member in opened:
            name = member.name.removeprefix("./")
            content = opened.extractfile(member)
            if content is not None and name and "/" not in name:
                found[name] = (content.read(), member.mode)
    return found
