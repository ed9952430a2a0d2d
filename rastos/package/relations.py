"""Versions and dependencies as libalpm compares them (lib/libalpm/version.c and deps.c), without libalpm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .records import PackageRecord

_DEPENDENCY = re.compile(r"([^<>=]+)(<=|>=|=|<|>)?(.*)", re.DOTALL)
_SEGMENT = re.compile(r"(\d+|[A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Dependency:
    """`name`, or `name` with one of `< <= = >= >` and a version."""

    name: str
    operator: str = ""
    version: str = ""


@lru_cache(maxsize=100_000)
def parse_dependency(text: str) -> Dependency:
    """A dependency string; a description after `: ` (optdepends) is left out."""
    found = _DEPENDENCY.match(text.split(": ", 1)[0].strip())
    if not found:
        return Dependency(text)
    return Dependency(found[1], found[2] or "", found[3] if found[2] else "")


@lru_cache(maxsize=100_000)
def compare_versions(left: str, right: str) -> int:
    """-1, 0 or 1 as `alpm_pkg_vercmp`; the release counts only where both have one."""
    if left == right:
        return 0
    epoch1, version1, release1 = _split(left)
    epoch2, version2, release2 = _split(right)
    order = _compare(epoch1, epoch2) or _compare(version1, version2)
    if order == 0 and release1 is not None and release2 is not None:
        order = _compare(release1, release2)
    return order


def satisfies(record: PackageRecord, wanted: Dependency) -> bool:
    """Whether a package meets a dependency, by itself or by what it provides."""
    if record.name == wanted.name and _holds(record.version, wanted):
        return True
    for text in record.provides:
        provided = parse_dependency(text)
        if provided.name != wanted.name:
            continue
        if not wanted.operator or (provided.operator == "=" and _holds(provided.version, wanted)):
            return True
    return False


def _holds(version: str, wanted: Dependency) -> bool:
    if not wanted.operator:
        return True
    order = compare_versions(version, wanted.version)
    return {"=": order == 0, "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[wanted.operator]


def _split(version: str) -> tuple[str, str, str | None]:
    digits = len(version) - len(version.lstrip("0123456789"))
    epoch, rest = "0", version
    if version[digits : digits + 1] == ":":
        epoch, rest = version[:digits] or "0", version[digits + 1 :]
    body, dash, release = rest.rpartition("-")
    return (epoch, body, release) if dash else (epoch, rest, None)


def _compare(left: str, right: str) -> int:
    """`rpmvercmp`: alternating runs of digits (by value) and letters (by strcmp); separators count by length."""
    if left == right:
        return 0
    one, two = 0, 0
    while one < len(left) and two < len(right):
        start1, start2 = one, two
        while one < len(left) and not _alnum(left[one]):
            one += 1
        while two < len(right) and not _alnum(right[two]):
            two += 1
        if one >= len(left) or two >= len(right):
            break
        if one - start1 != two - start2:
            return -1 if one - start1 < two - start2 else 1
        numeric = left[one] in "0123456789"
        run1, run2 = _run(left, one, numeric), _run(right, two, numeric)
        if not run1:
            return -1
        if not run2:
            return 1 if numeric else -1
        one, two = one + len(run1), two + len(run2)
        if numeric:
            value1, value2 = int(run1), int(run2)
            if value1 != value2:
                return -1 if value1 < value2 else 1
        elif run1 != run2:
            return -1 if run1 < run2 else 1
    rest1, rest2 = left[one:], right[two:]
    if not rest1 and not rest2:
        return 0
    # what is left over wins, unless it is letters: 1.0 is newer than 1.0beta
    if (not rest1 and not _alpha(rest2[0])) or (rest1 and _alpha(rest1[0])):
        return -1
    return 1


def _alnum(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _alpha(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _run(text: str, start: int, numeric: bool) -> str:
    found = _SEGMENT.match(text, start)
    if not found or (found[0][0] in "0123456789") != numeric:
        return ""
    return found[0]
