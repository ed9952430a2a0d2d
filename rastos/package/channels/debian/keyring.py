"""Keys of newer suites: from the debian-archive-keyring of a suite that this host's own keyring verifies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rastos.errors import HostError, IntegrityError
from rastos.host import Request, fetch, write_atomic

from .deb import archive
from .index import Record, records
from .release import Release, packages_file, read_index, verify
from .sources import DEFAULT_KEYRING, Source, from_host

PACKAGE = "debian-archive-keyring"
_FILE = re.compile(r"(?:\./)?usr/share/keyrings/debian-archive-keyring\.(?:gpg|pgp)")


def trusted(source: Source, home: Sequence[Source] | None) -> bool:
    """Whether the keys of this source are Debian's, so that a newer keyring of Debian stands for them too."""
    return source.keyring in {DEFAULT_KEYRING, *(item.keyring for item in home or ())}


def renewed(cache: Path, home: Sequence[Source] | None, *, offline: bool, now: float) -> Path | None:
    """A newer Debian keyring than the host's, fetched from `home` (the host's own suites) where it isn't cached yet.

    None: there is none to be had. IntegrityError: `home` itself can't be trusted.
    """
    target = cache / "keyring" / f"{PACKAGE}.gpg"
    if target.is_file() or offline:
        return target if target.is_file() else None
    try:
        sources = home if home is not None else from_host()
    except HostError:
        return None
    newest: Record | None = None
    for source in sources:
        for record in _offered(source, cache / "keyring", now):
            if newest is None or record.version > newest.version:
                newest = record
    if newest is None:
        return None
    deb = cache / "keyring" / f"{newest.sha256}.deb"
    fetch(Request(newest.uri, deb, newest.sha256, newest.size))
    with archive(deb, "data") as data:
        for member in data:
            content = data.extractfile(member) if member.isreg() and _FILE.fullmatch(member.name) else None
            if content is not None:
                write_atomic(target, content.read())
                return target
    raise IntegrityError(f"{PACKAGE} {newest.debian_version} holds no keyring", on=newest.uri)


def _offered(source: Source, cache: Path, now: float) -> list[Record]:
    inrelease = cache / "InRelease"
    fetch(Request(f"{source.dists}/InRelease", inrelease, None, None))
    checked: Release = verify(inrelease, source, now=now)
    found = []
    for component in source.components:
        text = read_index(packages_file(checked, component, "amd64", cache))
        start = text.find(f"Package: {PACKAGE}\n")
        if start == 0 or text[start - 1 : start] == "\n":
            found += list(records(text[start:].split("\n\n", 1)[0], source.uri))
    return found


def with_keyring(source: Source, keyring: Path) -> Source:
    """The same source, verified by other keys."""
    return replace(source, keyring=keyring)
