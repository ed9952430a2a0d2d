"""relations: Debian's fields as libalpm dependency strings."""

from __future__ import annotations

import pytest

from rastos.package.channels.debian.relations import alternatives_of, conflicts, depends, parse, provides, replaces
from rastos.package.channels.debian.versions import encode


def test_single_relations() -> None:
    found = depends(
        "libc6 (>= 2.36), a (<< 1), b (>> 1:2-3), c (= 4), d (<= 5), python3:any, libc6 (>= 2.36)",
        "dpkg",
        allowed=frozenset({"python3"}),
    )
    assert found == (
        f"libc6>={encode('2.36')}",
        f"a<{encode('1')}",
        f"b>{encode('1:2-3')}",
        f"c={encode('4')}",
        f"d<={encode('5')}",
        "python3",
        "dpkg",
    )


def test_alternatives_come_back_in_order() -> None:
    text = "default-mta | exim4 (>= 1:4.90) | mail-transport-agent:any"
    (name,) = depends(text, allowed=frozenset({"mail-transport-agent"}))
    assert not set("<>= ") & set(name)
    assert alternatives_of(name) == ("default-mta", f"exim4>={encode('1:4.90')}", "mail-transport-agent")
    assert alternatives_of("bash") is None


def test_same_alternative_twice_is_single() -> None:
    assert depends("a | a:any", allowed=frozenset("a")) == ("a",)


def test_qualifiers() -> None:
    """`:any` is for packages that are Multi-Arch: allowed; another architecture's packages aren't there."""
    assert depends("a:any, b:any (>= 1), c:native, d:amd64", allowed=frozenset("a")) == (
        "a",
        f"b:any>={encode('1')}",
        "c",
        "d",
    )
    assert depends("gcc:i386 (>= 1)") == (f"gcc:i386>={encode('1')}",)
    assert alternatives_of(depends("b:any | c")[0]) == ("b:any", "c")
    assert conflicts("a", "b:i386, c:any (<< 1), d") == (f"c<{encode('1')}", "d")
    assert replaces("b (<< 2), b:any, x:x32") == (f"b<{encode('2')}", "b")


def test_provides_keep_only_equal_versions() -> None:
    assert provides("mta, libx (= 2-1), odd (>= 3)") == ("mta", f"libx={encode('2-1')}")


def test_conflicts_without_self() -> None:
    assert conflicts("a", "a, b (<< 2)", "mta") == (f"b<{encode('2')}", "mta")


@pytest.mark.parametrize("bad", ["a (>= )", "a (?? 1)", "a b", "(>= 1)", "a (>= 1_0)"])
def test_malformed(bad: str) -> None:
    with pytest.raises(ValueError, match="not a Debian"):
        parse(bad)


def test_restrictions_are_read_over() -> None:
    assert depends("a (>= 1) [amd64] <!nocheck>, b [linux-any]") == (f"a>={encode('1')}", "b")
