"""Recipes and the order they are built in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package.aur import AurPackage, BuildPlan, parse_srcinfo, plan_builds
from rastos.package.relations import Dependency

SRCINFO = """
pkgbase = pair
\tpkgdesc = two
\tpkgver = 1.2
\tpkgrel = 3
\tepoch = 1
\tarch = x86_64
\tarch = aarch64
\tmakedepends = cmake
\tmakedepends_aarch64 = qemu
\tdepends = glibc
\tdepends_x86_64 = lib32
\tsource = pair::git+https://example.org/pair.git#tag=v1
\tsource = https://example.org/x.tar.gz
\tsha256sums = SKIP
\tsha256sums = 00ff

pkgname = pair

pkgname = pair-docs
\tarch = any
\tdepends =
\tprovides = docs=1
\tinstall = docs.install
"""


def test_a_recipe_is_read() -> None:
    recipe = parse_srcinfo(SRCINFO)
    assert (recipe.base, recipe.version, recipe.names) == ("pair", "1:1.2-3", ("pair", "pair-docs"))
    assert recipe.makedepends == ("cmake",)
    pair, docs = recipe.packages
    assert pair.depends == ("glibc", "lib32"), "inherited, those of the other architecture left out"
    assert (docs.depends, docs.arch, docs.install, docs.provides) == ((), ("any",), "docs.install", ("docs=1",))
    assert recipe.tracks_a_repository
    assert recipe.checksums == (("sha256sums", ("SKIP", "00ff")),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkgver = 1",
        "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1",
        "pkgbase = a\n\tpkgver = 1\n\npkgname = a",
        "pkgbase = ../a\n\tpkgver = 1\n\tpkgrel = 1\n\npkgname = a",
        "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\npkgname = /etc/x",
        "pkgbase = a\n\tpkgver = 1/../2\n\tpkgrel = 1\n\npkgname = a",
        "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\npkgname = a\npkgbase = b",
    ],
)
def test_damaged_recipes_are_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        parse_srcinfo(text)


def plan(names: Sequence[str], *packages: AurPackage, repositories: Iterable[str] = (), **prefer: str) -> BuildPlan:
    known = {package.name: package for package in packages}
    there = set(repositories)

    def lookup(wanted: Iterable[str]) -> Mapping[str, AurPackage]:
        return {name: known[name] for name in wanted if name in known}

    def providers(name: str) -> list[AurPackage]:
        return [item for item in packages if name in [text.split("=")[0] for text in item.provides]]

    def in_repositories(wanted: Dependency) -> str:
        return wanted.name if wanted.name in there else ""

    return plan_builds(names, lookup, providers, in_repositories, prefer=prefer)


def aur(name: str, base: str = "", version: str = "1-1", **fields: tuple[str, ...]) -> AurPackage:
    return AurPackage(name, base or name, version, **fields)  # type: ignore[arg-type]


def bases(found: BuildPlan) -> list[str]:
    return [step.base for step in found.steps]


def test_dependencies_come_first_from_where_they_are() -> None:
    found = plan(
        ["app"],
        aur("app", depends=("lib>=1", "glibc"), makedepends=("tool",), checkdepends=("test",)),
        aur("lib", depends=("glibc",)),
        aur("tool", makedepends=("lib",)),
        aur("test"),
        repositories=["glibc"],
    )
    assert bases(found) == ["lib", "tool", "test", "app"]
    assert found.steps[-1].from_repositories == ("glibc",)
    assert found.steps[-1].from_aur == ("lib", "tool", "test")
    assert found.steps[0].why == ("app",)


def test_split_packages_are_one_build() -> None:
    found = plan(
        ["a", "b"], aur("a", "pair", depends=("b",)), aur("b", "pair", depends=("c",)), aur("c", provides=("z",))
    )
    assert bases(found) == ["c", "pair"]
    assert found.steps[1].packages == ("a", "b")


def test_provides_and_who_is_meant() -> None:
    one, two = aur("one", provides=("virtual=2",)), aur("two", provides=("virtual",))
    app = aur("app", depends=("virtual",))
    assert bases(plan(["app"], app, one)) == ["one", "app"]
    with pytest.raises(UserError, match="one, two provide"):
        plan(["app"], app, one, two)
    assert bases(plan(["app"], app, one, two, virtual="two")) == ["two", "app"]
    assert bases(plan(["app"], aur("app", depends=("virtual>=2",)), one, two)) == ["one", "app"]


def test_what_is_nowhere_is_said() -> None:
    with pytest.raises(UserError, match="the AUR has no package 'gone'"):
        plan(["gone"])
    with pytest.raises(UserError, match="app needs lib>=2, which neither .* the AUR has lib 1-1"):
        plan(["app"], aur("app", depends=("lib>=2",)), aur("lib"))


def test_circles_are_named() -> None:
    with pytest.raises(UserError, match="a → b → c → a"):
        plan(["a"], aur("a", makedepends=("b",)), aur("b", makedepends=("c",)), aur("c", makedepends=("a",)))
