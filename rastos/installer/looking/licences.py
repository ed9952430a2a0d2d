"""Licences of a package: what its channel says, or Debian's copyright file, as SPDX writes licences.

Sources: SPDX 2.3, annex D (licence expressions); copyright-format 1.0 of Debian ("License:", first line of each stanza).
A name that is in neither table becomes a reference of ours (LicenseRef-…): nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import safe_join

# identifiers of the SPDX licence list that packages here use
_LISTED = """
AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-1.0-Perl Artistic-2.0 BSD-2-Clause BSD-2-Clause-NetBSD
BSD-3-Clause BSD-4-Clause BSD-4-Clause-UC BSL-1.0 Beerware CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 FSFAP FSFUL FSFULLR
GFDL-1.2-only GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only GPL-2.0-or-later
GPL-3.0-only GPL-3.0-or-later HPND ICU ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only
LGPL-3.0-or-later MIT MIT-CMU MPL-1.1 MPL-2.0 NCSA OFL-1.1 OLDAP-2.8 OpenSSL PSF-2.0 PostgreSQL RSA-MD SSH-OpenSSH Sleepycat
Unicode-DFS-2016 Unlicense Vim WTFPL X11 Zlib blessing bzip2-1.0.6 curl libtiff
""".split()
_SPDX = {name.lower(): name for name in _LISTED}
_GNU = re.compile(r"(?P<name>[al]?gpl)-?v?(?P<number>[123](?:\.[01])?)(?P<later>\+|-or-later|-only)?\Z")
_ALIASES = {
    "expat": "MIT",
    "mit/x11": "MIT",
    "apache-2": "Apache-2.0",
    "apache": "Apache-2.0",
    "cc0": "CC0-1.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd3": "BSD-3-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "openldap-2.8": "OLDAP-2.8",
    "artistic": "Artistic-1.0-Perl",
    "perl": "Artistic-1.0-Perl OR GPL-1.0-or-later",
}
# words that SPDX has as one exception; of others (autoconf, bison, texinfo, …) it has several, and nobody says which
_EXCEPTIONS = {
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception",
}
_WITH = re.compile(r"(?P<base>\S+)[ -]with[ -](?P<word>[\w.-]+?)[ -]exception\Z", re.IGNORECASE)
_STANZA = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
_LARGEST = 1 << 20  # bytes read of one copyright file


@dataclass(frozen=True, slots=True)
class Licences:
    """An SPDX expression ("" where nothing is known), and the names behind its LicenseRef-… identifiers."""

    expression: str = ""
    references: tuple[tuple[str, str], ...] = ()


def licences_of(said: Iterable[str], tree: Path, package: str) -> Licences:
    """From what the channel says, else from the copyright file in the tree (machine-readable ones only)."""
    names = [text for text in said if text.strip()] or _in_copyright_file(tree, package)
    return expression_of(names)


def expression_of(names: Iterable[str]) -> Licences:
    """Names, each perhaps with `and` and `or`, as one expression that holds all of them."""
    references: dict[str, str] = {}
    found = [_one(" ".join(name.split()), references) for name in names if name.strip()]
    ordered = sorted({term for text in found for term in ([text] if " OR " in text else text.split(" AND "))})
    joined = " AND ".join(f"({term})" if " OR " in term and len(ordered) > 1 else term for term in ordered)
    return Licences(joined, tuple(sorted(references.items())))


def _one(name: str, references: dict[str, str]) -> str:
    alternatives = re.split(r"\s*,?\s+or\s+", name, flags=re.IGNORECASE)
    if len(alternatives) > 1 and "," not in name:
        return " OR ".join(dict.fromkeys(_all(part, references) for part in alternatives))
    if len(alternatives) == 1:
        return _all(name, references)
    # "A or B, and C": Debian's comma binds weaker; `and` of the parts
    parts = [part.removeprefix("and ").strip() for part in name.split(",")]
    terms = [_one(part, references) for part in parts if part]
    return " AND ".join(f"({term})" if " OR " in term else term for term in terms)


def _all(name: str, references: dict[str, str]) -> str:
    parts = re.split(r"\s+and\s+", name.strip("() "), flags=re.IGNORECASE)
    return " AND ".join(dict.fromkeys(_identifier(part.strip("() "), references) for part in parts))


def _identifier(name: str, references: dict[str, str]) -> str:
    low = name.lower()
    exception = _WITH.match(low)
    if exception and exception["word"] in _EXCEPTIONS:
        base = _identifier(exception["base"], {})
        if not base.startswith("LicenseRef-"):
            return f"{base} WITH {_EXCEPTIONS[exception['word']]}"
    if low in _ALIASES:
        return _ALIASES[low]
    if low in _SPDX:
        return _SPDX[low]
    gnu = _GNU.match(low)
    if gnu:
        number = gnu["number"] if "." in gnu["number"] else f"{gnu['number']}.0"
        found = f"{gnu['name']}-{number}-{'or-later' if gnu['later'] in ('+', '-or-later') else 'only'}".lower()
        if found in _SPDX:
            return _SPDX[found]
    reference = "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", name.replace("+", "-or-later")).strip("-") or "unnamed")
    references[reference] = name
    return reference


def _in_copyright_file(tree: Path, package: str) -> list[str]:
    try:
        place = safe_join(tree, f"usr/share/doc/{package}/copyright")
        for _ in range(2):  # some packages share the folder of another
            if not place.is_symlink():
                break
            place = safe_join(tree, str(place.readlink()).lstrip("/"))
        if place.is_symlink() or not place.is_file():
            return []
        with open(place, "rb") as stream:
            text = stream.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, IntegrityError):
        return []
    return _STANZA.findall(text) if text[:200].lower().lstrip().startswith("format:") else []
