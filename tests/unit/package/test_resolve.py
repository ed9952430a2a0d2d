"""The resolver: closure, providers, conflicts, architecture, removals; versions compared as libalpm compares them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rastos.package.database import SyncIndex
from rastos.package.records import PackageRecord
from rastos.package.relations import compare_versions, parse_dependency, satisfies
from rastos.package.repository import pack_database
from rastos.package.resolve import Resolution, Wish, resolve


def pkg(name: str, version: str = "1-1", **fields: Any) -> PackageRecord:
    return PackageRecord(name, version, filename=f"{name}-{version}-any.pkg.tar.zst", **fields)


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.indexes: list[SyncIndex] = []
        self.installed: dict[str, PackageRecord] = {}

    def channel(self, name: str, *records: PackageRecord) -> World:
        path = self.folder / f"{name}.db"
        path.write_bytes(pack_database(records))
        self.indexes.append(SyncIndex.load(path, name))
        return self

    def there(self, *records: PackageRecord) -> World:
        self.installed.update({record.name: record for record in records})
        return self

    def solve(self, *install: str, remove: Sequence[str] = (), upgrade: bool = False, **options: Any) -> Resolution:
        return resolve(self.indexes, self.installed, Wish(install, tuple(remove), upgrade), arch="x86_64", **options)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names(found: Resolution) -> list[str]:
    assert not found.problems, [str(problem) for problem in found.problems]
    return [record.name for record in found.install]


def problems(found: Resolution) -> list[str]:
    return [str(problem) for problem in found.problems]


def test_closure_dependencies_first(world: World) -> None:
    world.channel("c", pkg("a", depends=("b", "c>=1")), pkg("b", depends=("c",)), pkg("c"), pkg("unrelated"))
    found = world.solve("a")
    assert names(found) == ["c", "b", "a"]
    assert found.why["c"] in (("a", "c"), ("a", "b", "c"))
    assert found.explicit == {"a"}


def test_circles_end(world: World) -> None:
    world.channel("c", pkg("a", depends=("b",)), pkg("b", depends=("a",)))
    assert sorted(names(world.solve("a"))) == ["a", "b"]


def test_what_is_there_is_kept(world: World) -> None:
    world.channel("c", pkg("a", depends=("b",)), pkg("b", "2-1")).there(pkg("b", "1-1"))
    assert names(world.solve("a")) == ["a"]
    assert names(world.solve("a", upgrade=True)) == ["b", "a"]


def test_too_old_a_dependency_is_upgraded(world: World) -> None:
    world.channel("c", pkg("a", depends=("b>=2",)), pkg("b", "2-1")).there(pkg("b", "1-1"))
    assert names(world.solve("a")) == ["b", "a"]


def test_provider_installed_then_preferred_then_by_name(world: World) -> None:
    world.channel(
        "c",
        pkg("a", depends=("awk",)),
        pkg("gawk", provides=("awk=5",)),
        pkg("mawk", provides=("awk=1",)),
        pkg("original-awk", provides=("awk",)),
    )
    assert names(world.solve("a")) == ["gawk", "a"]
    assert names(world.solve("a", prefer={"awk": "mawk"})) == ["mawk", "a"]
    assert names(world.solve("a", "original-awk")) == ["original-awk", "a"]
    world.there(pkg("mawk", provides=("awk=1",)))
    assert names(world.solve("a")) == ["a"]


def test_alternatives_first_choice_first(world: World) -> None:
    group = "any:zmta|amta"
    world.channel("c", pkg("a", depends=(group,)), pkg("amta", provides=(group,)), pkg("zmta", provides=(group,)))
    split = lambda text: ("zmta", "amta") if text == group else None  # noqa: E731
    assert names(world.solve("a", alternatives=split)) == ["zmta", "a"]
    assert names(world.solve("a", "amta", alternatives=split)) == ["amta", "a"]


def test_a_provider_that_conflicts_is_passed_over(world: World) -> None:
    world.channel(
        "c",
        pkg("a", depends=("mta",)),
        pkg("first", provides=("mta",), conflicts=("base",)),
        pkg("second", provides=("mta",)),
        pkg("base"),
    )
    assert sorted(names(world.solve("base", "a"))) == ["a", "base", "second"]


def test_channels_in_order(world: World) -> None:
    world.channel("mine", pkg("a", "1-1")).channel("other", pkg("a", "9-1"))
    assert [record.channel for record in world.solve("a").install] == ["mine"]
    assert [record.channel for record in world.solve("other/a").install] == ["other"]


def test_groups(world: World) -> None:
    world.channel("c", pkg("a", groups=("tools",)), pkg("b", groups=("tools", "x")), pkg("d"))
    assert names(world.solve("tools")) == ["a", "b"]


def test_conflicts_are_found_from_both_sides(world: World) -> None:
    world.channel("c", pkg("a", conflicts=("b<2",)), pkg("b", "1-1"), pkg("d", provides=("virtual",)))
    assert problems(world.solve("a", "b")) == ["a 1-1 and b 1-1 can't be together"]
    world.there(pkg("old", conflicts=("virtual",)))
    assert problems(world.solve("d")) == ["d 1-1 and old 1-1 can't be together"]


def test_a_package_may_conflict_with_what_it_provides(world: World) -> None:
    world.channel("c", pkg("a", provides=("mta",), conflicts=("mta",)))
    assert names(world.solve("a")) == ["a"]


def test_replaces_takes_the_old_one_out(world: World) -> None:
    world.channel("c", pkg("new", conflicts=("old",), replaces=("old",), provides=("old",)))
    world.there(pkg("old"), pkg("user", depends=("old",)))
    found = world.solve("new")
    assert names(found) == ["new"]
    assert [record.name for record in found.remove] == ["old"]


def test_wrong_architecture(world: World) -> None:
    world.channel("c", pkg("a", arch="aarch64"), pkg("b", depends=("a",)))
    assert problems(world.solve("a")) == ["a is for aarch64, this tree is x86_64"]
    assert problems(world.solve("b")) == ["b 1-1 needs a: a is for aarch64, this tree is x86_64"]


def test_everything_missing_is_said_at_once(world: World) -> None:
    world.channel("c", pkg("a", depends=("gone", "b>=3")), pkg("b", "2-1"), pkg("openssh"))
    found = world.solve("a", "opensssh", "zzz")
    assert found.install == ()
    assert problems(found) == [
        "no channel has opensssh; did you mean 'openssh'?",
        "no channel has zzz",
        "a 1-1 needs gone, which no channel has",
        "a 1-1 needs b>=3, which no channel has (there is b 2-1)",
    ]


def test_removal_is_refused_while_needed(world: World) -> None:
    world.there(pkg("lib", provides=("so=1",)), pkg("one", depends=("so",)), pkg("two", depends=("lib",)), pkg("free"))
    assert problems(world.solve(remove=["lib"])) == ["lib is needed by one, two"]
    assert [record.name for record in world.solve(remove=["lib", "one", "two"]).remove] == ["lib", "one", "two"]
    assert problems(world.solve(remove=["fre"])) == ["fre is not installed; did you mean 'free'?"]


def test_an_upgrade_takes_its_dependents_along(world: World) -> None:
    world.channel("c", pkg("lib", "2-1"), pkg("app", "2-1", depends=("lib=2",)))
    world.there(pkg("lib", "1-1"), pkg("app", "1-1", depends=("lib=1",)))
    assert names(world.solve("lib")) == ["lib", "app"]


def test_an_upgrade_that_would_break_others_is_refused(world: World) -> None:
    world.channel("c", pkg("lib", "2-1")).there(pkg("lib", "1-1"), pkg("app", "1-1", depends=("lib=1",)))
    assert problems(world.solve("lib")) == ["app 1-1 needs lib=1, which would be replaced"]


def test_same_input_same_answer(world: World) -> None:
    records = [pkg(f"p{n}", depends=tuple(f"p{m}" for m in range(n + 1, min(n + 4, 60)))) for n in range(60)]
    world.channel("c", *records)
    assert names(world.solve("p0")) == names(world.solve("p0"))
    order = names(world.solve("p0"))
    assert order.index("p59") < order.index("p0")


def test_versions_compare_as_in_libalpm() -> None:
    pyalpm = pytest.importorskip("pyalpm")
    chance = random.Random(7)
    letters = "0123456789abAB.-+~_:1200"
    for _ in range(20_000):
        left = "".join(chance.choice(letters) for _ in range(chance.randint(1, 8)))
        right = left[: chance.randint(0, 8)] + "".join(chance.choice(letters) for _ in range(chance.randint(1, 5)))
        expected = pyalpm.vercmp(left, right)
        assert compare_versions(left, right) == (expected > 0) - (expected < 0), (left, right)


@pytest.mark.parametrize(
    ("dependency", "met"),
    [
        ("so", True),
        ("so=1", True),
        ("so>=2", False),
        ("plain", True),
        ("plain>=1", False),
        ("a>1", True),
        ("a=2-3", True),
    ],
)
def test_satisfies(dependency: str, met: bool) -> None:
    record = pkg("a", "2-3", provides=("so=1", "plain"))
    assert satisfies(record, parse_dependency(dependency)) is met
