"""Detached OpenPGP signatures, checked by gpgv against one keyring and nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError

LARGEST = 1 << 16  # bytes of a signature file
_ARMOUR = re.compile(rb"-----BEGIN PGP [A-Z ]+-----.*?\n\r?\n(.*?)(?:\n=[^\n]+)?\n-----END PGP", re.DOTALL)
# gpgv's status words (doc/DETAILS of GnuPG) that refuse a signature, whatever else it says
_REFUSED = {
    "BADSIG": "the signature is wrong: the file was changed",
    "ERRSIG": "it is signed by a key that is not in the keyring",
    "NO_PUBKEY": "it is signed by a key that is not in the keyring",
    "EXPKEYSIG": "it is signed by a key that has expired",
    "REVKEYSIG": "it is signed by a key that was revoked",
    "EXPSIG": "its signature has expired",
    "NODATA": "its signature file holds no signature",
}


@dataclass(frozen=True)
class Signature:
    """A good signature: the primary key behind it (fingerprint) and when it was made (seconds since 1970)."""

    fingerprint: str
    made: int


def verify_detached(path: Path, signature: Path, keyring: Path, work: Path, what: str) -> tuple[Signature, ...]:
    """Raise IntegrityError, saying why, unless `signature` over `path` is good and by a valid key of `keyring`."""
    from rastos.host import run, working_directory

    with working_directory(work, "keyring-") as folder:
        ring = keyring
        content = keyring.read_bytes()
        if not content[:1] or content[0] < 0x80:  # OpenPGP packets begin with the high bit set
            ring = folder / "keyring.gpg"
            ring.write_bytes(_binary(content))
        argv: list[str | Path] = ["gpgv", "--homedir", folder, "--status-fd", "1"]
        argv += ["--keyring", ring.absolute(), signature, path]
        result = run(argv, check=False, what=f"check the signature of {what}")
    lines = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("[GNUPG:] ")]
    words = {line[0] for line in lines if line}
    reason = next((text for word, text in _REFUSED.items() if word in words), "")
    if result.status != 0 or reason or not {"GOODSIG", "VALIDSIG"} <= words:
        unknown = next((line[1] for line in lines if line[0] == "NO_PUBKEY" and len(line) > 1), "")
        raise IntegrityError(
            f"{what}: {reason or 'the signature could not be verified'}",
            on=f"{path.name}, {f'key {unknown}, ' if unknown else ''}keyring {keyring}",
            next_step="nothing was installed; check the keyring and where the file came from",
        )
    # VALIDSIG fingerprint date seconds expires version reserved algorithm hash class primary-fingerprint
    return tuple(
        Signature(line[10] if len(line) > 10 else line[1], int(line[3])) for line in lines if line[0] == "VALIDSIG"
    )


def signer(signature: str) -> str:
    """Who a base64 detached signature says made it: a fingerprint, or a key id; empty where it says nothing.

    Only a label for lockfiles: RFC 4880 section 5.2.3, subpackets 33 (issuer fingerprint) and 16 (issuer).
    """
    try:
        data = base64.b64decode(signature, validate=True)
        start = {0: 2, 1: 3, 2: 5}[data[0] & 3] if not data[0] & 0x40 else (2 if data[1] < 192 else 3)
        body = data[start:]
        hashed = int.from_bytes(body[4:6], "big")
        areas = [
            body[6 : 6 + hashed],
            body[8 + hashed : 8 + hashed + int.from_bytes(body[6 + hashed : 8 + hashed], "big")],
        ]
    except (ValueError, IndexError, KeyError):
        return ""
    found = {kind: content for area in areas for kind, content in _subpackets(area)}
    return (found.get(33, b"")[1:] or found.get(16, b"")).hex().upper()


def _subpackets(area: bytes) -> Iterator[tuple[int, bytes]]:
    while len(area) > 1:
        length, skip = area[0], 1
        if 192 <= length < 255:
            length, skip = ((length - 192) << 8) + area[1] + 192, 2
        elif length == 255:
            length, skip = int.from_bytes(area[1:5], "big"), 5
        content = area[skip : skip + length]
        if not content:
            return
        yield content[0] & 0x7F, content[1:]
        area = area[skip + length :]


def _binary(content: bytes) -> bytes:
    """gpgv reads binary keyrings only; an armoured one is unpacked."""
    blocks = _ARMOUR.findall(content.replace(b"\r\n", b"\n"))
    return b"".join(base64.b64decode(block) for block in blocks) if blocks else content
