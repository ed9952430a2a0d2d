"""Debian versions as pacman versions that sort the same, and back.

dpkg (deb-version(7)) compares epoch, upstream and revision; the latter two as alternating non-digit and digit runs,
where `~` sorts before the end, the end before letters, letters before everything else. libalpm's rpmvercmp compares
alternating alphabetic (strcmp) and numeric (by value) segments. So every non-digit run is written in letters with an
ordered prefix code and closed by the letter of "end"; numbers stay as they are and never meet an alphabetic segment:

    5.2.15-2+b9   ->   b5f2f15bb2dbcb9b-1        (the pkgrel is always 1)

A missing number and a missing revision count as 0 in dpkg; they are written `00` so that they can be told apart when
decoding, while rpmvercmp still finds them equal to 0.
"""

from __future__ import annotations

import re
from functools import lru_cache

_END = "b"
_CODE = {"~": "a", "+": "d", "-": "e", ".": "f", ":": "g"}
_PLAIN = {code: character for character, code in _CODE.items()}
_VERSION = re.compile(r"(?:(\d+):)?([A-Za-z0-9.+~:-]+?)(?:-([A-Za-z0-9.+~]+))?")
_RUNS = re.compile(r"(\D*)(\d*)")


@lru_cache(maxsize=200_000)
def encode(version: str) -> str:
    """The pacman version without pkgrel for a Debian version; ValueError where dpkg would not take it either."""
    found = _VERSION.fullmatch(version)
    epoch, upstream, revision = found.groups() if found else ("", ":", "")
    if not epoch and ":" in upstream:
        raise ValueError(f"not a Debian version: {version!r}")
    prefix = f"{int(epoch)}:" if epoch and int(epoch) else ""
    return prefix + _encode_part(upstream) + _encode_part(revision or "")


def package_version(version: str) -> str:
    """The pacman version with its (constant) pkgrel."""
    return encode(version) + "-1"


def decode(version: str) -> str:
    """The Debian version of what `encode` or `package_version` made; anything else comes back unchanged."""
    epoch, separator, rest = version.rpartition(":")
    text = rest.removesuffix("-1")
    parts: list[str] = []
    position = 0
    while len(parts) < 2:
        part = _decode_part(text, position)
        if part is None:
            return version
        parts.append(part[0])
        position = part[1]
    if position != len(text):
        return version
    upstream, revision = parts
    return epoch + separator + upstream + (f"-{revision}" if revision else "")


def _encode_part(part: str) -> str:
    out: list[str] = []
    position = 0
    while True:
        found = _RUNS.match(part, position)
        assert found is not None
        run, number = found.groups()
        for character in run:
            out.append(_CODE.get(character) or "c" + character)
        out.append(_END)
        out.append(_encode_number(number))
        position = found.end()
        if position == len(part):
            return "".join(out) + _END


def _encode_number(number: str) -> str:
    if not number:
        return "00"
    return number + "0" if len(number) > 1 and not number.strip("0") else number


def _decode_number(number: str) -> str:
    if number.strip("0") or len(number) == 1:
        return number
    return "" if len(number) == 2 else number[:-1]


def _decode_part(text: str, position: int) -> tuple[str, int] | None:
    """One part from `position`: runs and numbers up to a run that is empty and not the first one."""
    out: list[str] = []
    first = True
    while True:
        start = position
        while position < len(text) and text[position] != _END:
            if text[position] == "c" and position + 1 < len(text):
                out.append(text[position + 1])
                position += 2
            elif text[position] in _PLAIN:
                out.append(_PLAIN[text[position]])
                position += 1
            else:
                return None
        if position == len(text):
            return None
        empty = position == start
        position += 1
        if empty and not first:
            return "".join(out), position
        first = False
        start = position
        while position < len(text) and text[position].isdigit():
            position += 1
        if position == start:
            return None
        out.append(_decode_number(text[start:position]))
