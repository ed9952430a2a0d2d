"""versions: the mapping keeps dpkg's order under rpmvercmp, and comes back."""

from __future__ import annotations

import ctypes.util
import functools
import glob
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos.package.channels.debian.versions import decode, encode, package_version


def rpmvercmp(a: str, b: str) -> int:
    """libalpm's rpmvercmp (lib/libalpm/version.c) for strings of letters and digits only."""
    segments = [re.findall(r"[A-Za-z]+|\d+", text) for text in (a, b)]
    for one, two in zip(*segments, strict=False):
        if one.isdigit() != two.isdigit():
            return 1 if one.isdigit() else -1
        if one.isdigit():
            one, two = int(one), int(two)
        if one != two:
            return -1 if one < two else 1
    one, two = (part[min(map(len, segments)) :] for part in segments)
    if not one and not two:
        return 0
    return -1 if (not one and two[0].isdigit()) or (one and one[0].isalpha()) else 1


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _verrevcmp(a: str, b: str) -> int:
    """dpkg's verrevcmp (lib/dpkg/version.c)."""
    while a or b:
        while (a and not a[0].isdigit()) or (b and not b[0].isdigit()):
            one = _order(a[0]) if a and not a[0].isdigit() else 0
            two = _order(b[0]) if b and not b[0].isdigit() else 0
            if one != two:
                return -1 if one < two else 1
            a, b = a[1:], b[1:]
        left, right = re.match(r"\d*", a), re.match(r"\d*", b)
        assert left and right
        first, second = int(left[0] or 0), int(right[0] or 0)
        if first != second:
            return -1 if first < second else 1
        a, b = a[left.end() :], b[right.end() :]
    return 0


def dpkg_compare(a: str, b: str) -> int:
    def split(version: str) -> tuple[int, str, str]:
        epoch, colon, rest = version.partition(":")
        if not colon:
            epoch, rest = "0", version
        upstream, dash, revision = rest.rpartition("-")
        return (int(epoch), upstream, revision) if dash else (int(epoch), rest, "")

    one, two = split(a), split(b)
    if one[0] != two[0]:
        return -1 if one[0] < two[0] else 1
    return _verrevcmp(one[1], two[1]) or _verrevcmp(one[2], two[2])


def mapped_compare(a: str, b: str) -> int:
    def split(version: str) -> tuple[int, str]:
        epoch, colon, rest = encode(version).rpartition(":")
        return (int(epoch) if colon else 0, rest)

    one, two = split(a), split(b)
    if one[0] != two[0]:
        return -1 if one[0] < two[0] else 1
    return rpmvercmp(one[1], two[1])


_SPECIAL = """0 0-0 1 1-1 1.0 1.0-0 1.0~ 1.0~~ 1.0~rc1-1 1.0a 1.0A 1.0+ 1.0+b1 1.0-1 1.0-1+b1 1.0-1~bpo12+1 1.0-1.1+~
1.0. 1.00 1.000 1.007-07 1:0 1:1.0-1 2:0~ 10:1 2.2.40-1.1+~ 1.0-1a 1.0-1-1 a 1a0 1a00 1a 1+dfsg-1 1.0+really0.9-1
9.10 9.9
1.0-1ubuntu1 1.0-1~ 1.0-~1 2.36 2.36-9 2.36-9+deb12u7 2.36~9 1.0z 1.0Z 1.0-0.1 1.0-00.1 20230101git1234abc-1"""
SPECIAL = _SPECIAL.split()


def random_versions(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    found = []
    for _ in range(count):
        upstream = "".join(source.choice("00112~~++..-abZ9") for _ in range(source.randint(1, 6)))
        version = source.choice(["", "", "1:", "2:"]) + source.choice("019") + upstream
        found.append(version.rstrip("-") + source.choice(["", "-1", "-0", "-00", "-1~", "-~", "-a", "-1+b2"]))
    return found


def versions_of_this_machine() -> list[str]:
    found: set[str] = set()
    for name in ["/var/lib/dpkg/status"]:
        if Path(name).exists():
            found |= set(re.findall(r"^Version: (\S+)", Path(name).read_text(errors="replace"), re.MULTILINE))
    return sorted(found)


def neighbours(versions: list[str], count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs that are hard: sorted neighbours, and random ones."""
    ordered = sorted(set(versions), key=functools.cmp_to_key(dpkg_compare))
    source = random.Random(seed)
    near = [(a, ordered[i + step]) for step in (1, 2) for i, a in enumerate(ordered[:-step])]
    return near + [(source.choice(ordered), source.choice(ordered)) for _ in range(count)]


def test_comes_back() -> None:
    for version in {*SPECIAL, *random_versions(5000, 1), *versions_of_this_machine()}:
        assert decode(package_version(version)) == version
        assert re.fullmatch(r"(\d+:)?[a-zA-Z0-9]+-1", package_version(version))


def test_not_ours_stays() -> None:
    for version in ["1.2-1", "6.12.117-1", "2:3.4-2", "b5", "", "linux"]:
        assert decode(version) == version


@pytest.mark.parametrize("bad", ["", "1 0", "1.0_1", "a:1", "1/2"])
def test_not_a_version(bad: str) -> None:
    with pytest.raises(ValueError, match="not a Debian version"):
        encode(bad)


def test_order_by_the_algorithms() -> None:
    pairs = [(a, b) for a in SPECIAL for b in SPECIAL]
    pairs += neighbours(random_versions(6000, 2), 20000, 3) + neighbours(versions_of_this_machine() or SPECIAL, 5000, 4)
    for a, b in pairs:
        assert mapped_compare(a, b) == dpkg_compare(a, b), (a, b, encode(a), encode(b))


def _library(name: str) -> ctypes.CDLL | None:
    import ctypes

    found = ctypes.util.find_library(name)
    return ctypes.CDLL(found) if found else None


@pytest.mark.skipif(_library("alpm") is None, reason="install libalpm-dev to compare with the real libalpm")
def test_our_rpmvercmp_is_libalpms() -> None:
    compare: Callable[[bytes, bytes], int] = _library("alpm").alpm_pkg_vercmp  # type: ignore[union-attr]
    pairs = [(a, b) for a in SPECIAL for b in SPECIAL] + neighbours(random_versions(4000, 5), 10000, 6)
    for a, b in pairs + neighbours(versions_of_this_machine() or SPECIAL, 3000, 7):
        one, two = package_version(a), package_version(b)
        assert compare(one.encode(), two.encode()) == dpkg_compare(a, b), (a, b)
        assert compare(one.encode(), encode(b).encode()) == dpkg_compare(a, b), (a, b)


@pytest.mark.skipif(not glob.glob("/usr/bin/dpkg"), reason="install dpkg to compare with the real dpkg")
def test_our_dpkg_is_dpkgs() -> None:
    source = random.Random(8)
    for a, b in source.sample(neighbours(SPECIAL + random_versions(500, 9), 500, 10), 250):
        sign = {-1: "lt", 0: "eq", 1: "gt"}[dpkg_compare(a, b)]
        assert subprocess.run(["dpkg", "--compare-versions", a, sign, b], stderr=subprocess.DEVNULL).returncode == 0
