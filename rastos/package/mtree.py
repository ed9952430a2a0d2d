"""The file list libalpm keeps of an installed package: `mtree` in its database folder, gzip'd mtree(5)."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_SPECIAL = (b".PKGINFO", b".INSTALL", b".CHANGELOG", b".BUILDINFO", b".MTREE")
_LIMIT = 1 << 28  # bytes unpacked; a kernel source package has 10 MB


@dataclass(frozen=True, slots=True)
class MtreeEntry:
    """One path (no leading slash): kind is file, dir or link; sizes in bytes."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    link: str = ""


def read_mtree(path: Path) -> tuple[MtreeEntry, ...]:
    """The files of a package; its own `.PKGINFO` and the like are left out. IntegrityError: damaged or hostile."""
    try:
        with gzip.open(path) as stream:
            data = stream.read(_LIMIT)
        return tuple(_entries(data))
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise IntegrityError(f"a damaged list of files: {error}", on=path, next_step="reinstall the package") from error


def _entries(data: bytes) -> Iterator[MtreeEntry]:
    default: dict[bytes, bytes] = {}
    for line in data.split(b"\n"):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        pairs = dict(word.partition(b"=")[::2] for word in words[1:])
        if words[0] == b"/set":
            default |= pairs
        elif words[0] == b"/unset":
            for word in words[1:]:
                default.pop(word, None)
        elif words[0].startswith(b"./") and words[0][2:] not in _SPECIAL:
            yield _entry(words[0][2:], default | pairs)


def _entry(name: bytes, values: dict[bytes, bytes]) -> MtreeEntry:
    path = _plain(name)
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"a path outside the tree: {path!r}")
    return MtreeEntry(
        path=path,
        kind=values.get(b"type", b"file").decode(),
        mode=int(values.get(b"mode", b"644"), 8),
        uid=int(values.get(b"uid", b"0")),
        gid=int(values.get(b"gid", b"0")),
        size=int(values.get(b"size", b"0")),
        sha256=values.get(b"sha256digest", b"").decode(),
        link=_plain(values.get(b"link", b"")),
    )


def _plain(text: bytes) -> str:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), text).decode("utf-8", "surrogateescape")
