"""Debian control data (deb822(5)): paragraphs of fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def paragraphs(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Every paragraph as field name → value; continuation lines are joined by newlines, `#` lines are comments."""
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            if fields:
                yield fields
                fields = {}
            name = ""
        elif line[0] == "#":
            continue
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line[1:]
        else:
            name, separator, value = line.partition(":")
            if separator:
                fields[name] = value.strip()
            else:
                name = ""
    if fields:
        yield fields


def paragraph(text: str) -> dict[str, str]:
    """The first paragraph of `text`, empty if there is none."""
    return next(paragraphs(text.splitlines()), {})


def without_signature(text: str) -> str:
    """The body of a clear-signed file (RFC 4880, section 7), dash escapes removed."""
    if not text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        return text
    body = text.partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
    return "\n".join(line.removeprefix("- ") for line in body.split("\n")) + "\n"
