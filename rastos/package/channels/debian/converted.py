"""Reading back what `convert` wrote: the list of files, the control files, single members."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import IntegrityError

from .convert import INFO

_ESCAPE = re.compile(rb"\\([0-7]{3})")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    from rastos.package.database import open_decompressed

    try:
        with open_decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise IntegrityError(f"a damaged package: {error}", on=path) from error


def listing(path: Path) -> dict[str, bool]:
    """Every path of a package (no leading slash), and whether it is a directory; read from its `.MTREE` alone."""
    with _opened(path) as archive:
        for member in archive:
            if member.name == ".MTREE":
                content = archive.extractfile(member)
                assert content is not None
                return dict(_paths(gzip.decompress(content.read())))
    raise IntegrityError("a package without .MTREE", on=path)


def _paths(mtree: bytes) -> Iterator[tuple[str, bool]]:
    for line in mtree.split(b"\n"):
        if line.startswith(b"./") and not line.startswith(b"./."):
            name, _, words = line.partition(b" ")
            plain = _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), name[2:])
            yield plain.decode("utf-8", "surrogateescape"), b"type=dir" in words


def control_of(path: Path) -> dict[str, tuple[bytes, int]]:
    """Its control files as the .deb had them: plain name → (content, mode)."""
    found = {}
    with _opened(path) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if folder.removeprefix("./") == INFO and member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                found[name.rpartition(".")[2]] = (content.read(), member.mode)
    return found


def members(path: Path, wanted: Collection[str]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Files and links of a package by path, with their content; a hard link comes with that of its target."""
    found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    links: dict[str, tarfile.TarInfo] = {}
    with _opened(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name not in wanted:
                continue
            if member.islnk():
                links[name] = member
            elif member.isreg() or member.issym():
                content = archive.extractfile(member) if member.isreg() else None
                found[name] = (member, content.read() if content else b"")
    targets = {link.linkname for link in links.values()} - set(found)
    others = members(path, targets) if targets else {}
    for name, link in links.items():
        held = found.get(link.linkname) or others.get(link.linkname)
        if held:
            found[name] = held
    return found
