"""What a keyring package holds, read before anybody vouches for it: a keyring, the masters it names, what it revokes."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from rastos.errors import IntegrityError

from ...database import open_decompressed
from ...keys import FINGERPRINT, LARGEST
from ...records import parse_package_info

_MOST_UNPACKED = 512 << 20
_FOLDER = "usr/share/pacman/keyrings/"


@dataclass
class KeyringPackage:
    """What a keyring package says; keyrings and their -trusted files by name."""

    name: str = ""
    version: str = ""
    builddate: int = 0
    rings: dict[str, bytes] = field(default_factory=dict)
    trusted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)


def unpack(package: Path, name: str) -> KeyringPackage:
    """Read a package file. IntegrityError: it is damaged, too large, or another package."""
    found, total = KeyringPackage(), 0
    try:
        with open_decompressed(package) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                total += member.size
                if total > _MOST_UNPACKED:
                    raise IntegrityError("this is no keyring package: it is too large", on=package.name)
                path = member.name.removeprefix("./")
                wanted = path == ".PKGINFO" or (path.startswith(_FOLDER) and "/" not in path.removeprefix(_FOLDER))
                if not wanted or not member.isreg() or member.size > LARGEST:
                    continue
                stream_of = tar.extractfile(member)
                assert stream_of is not None
                _take(found, path, stream_of.read())
    except (tarfile.TarError, OSError, EOFError, ValueError, TypeError) as error:
        raise IntegrityError(f"not a keyring package: {error}", on=package.name) from error
    if found.name != name:
        raise IntegrityError(f"the file for {name} is the package '{found.name}'", on=package.name)
    return found


def _take(found: KeyringPackage, path: str, content: bytes) -> None:
    base = path.removeprefix(_FOLDER)
    if path == ".PKGINFO":
        record = parse_package_info(content.decode(), {})
        found.name, found.version, found.builddate = record.name, record.version, record.builddate
    elif base.endswith(".gpg"):
        found.rings[base.removesuffix(".gpg")] = content
    elif base.endswith("-trusted"):
        found.trusted[base.removesuffix("-trusted")] = fingerprints_in(content.decode())
    elif base.endswith("-revoked"):
        found.revoked |= set(fingerprints_in(content.decode()))


def choose(found: KeyringPackage, name: str, package: Path) -> tuple[bytes, tuple[str, ...]]:
    """The keyring among the files: the one the package is named after, or the only one; and the masters it names."""
    stem = name.removesuffix("-keyring")
    if stem not in found.rings:
        if len(found.rings) != 1:
            raise IntegrityError(f"{name} holds {len(found.rings)} keyrings, expected one", on=package.name)
        stem = next(iter(found.rings))
    return found.rings[stem], found.trusted.get(stem, ())


def fingerprints_in(text: str) -> tuple[str, ...]:
    """The fingerprints of a -trusted or -revoked file."""
    words = (line.split(":")[0].strip().upper() for line in text.splitlines() if not line.startswith("#"))
    return tuple(dict.fromkeys(word for word in words if FINGERPRINT.match(word)))
