"""Rules of the resolver: constraints, exclusions, held and ignored packages, replacements, pruning, another way round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rastos.package.database import SyncIndex
from rastos.package.manifest import Constraint
from rastos.package.records import PackageRecord
from rastos.package.repository import pack_database
from rastos.package.resolve import Resolution, Rules, Wish, explain, resolve, unneeded


def pkg(name: str, version: str = "1-1", **fields: Any) -> PackageRecord:
    return PackageRecord(name, version, filename=f"{name}-{version}-any.pkg.tar.zst", **fields)


def dep(name: str, version: str = "1-1", **fields: Any) -> PackageRecord:
    return PackageRecord(name, version, reason="dependency", **fields)


def exp(name: str, version: str = "1-1", **fields: Any) -> PackageRecord:
    return PackageRecord(name, version, reason="explicit", **fields)


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

    def solve(self, *install: str, rules: Rules | None = None, **wish: Any) -> Resolution:
        return resolve(self.indexes, self.installed, Wish(install, **wish), arch="x86_64", rules=rules)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def coming(found: Resolution) -> list[str]:
    assert not found.problems, [str(problem) for problem in found.problems]
    return [f"{record.name} {record.version}" for record in found.install]


def going(found: Resolution) -> list[str]:
    assert not found.problems, [str(problem) for problem in found.problems]
    return sorted(record.name for record in found.remove)


def said(found: Resolution) -> list[str]:
    return [str(problem) for problem in found.problems]


def at(*texts: str) -> tuple[Constraint, ...]:
    return tuple(Constraint(text.rstrip("0123456789.-"), text.lstrip("<>=")) for text in texts)


def test_declared_packages_stay_where_they_will_do(world: World) -> None:
    world.channel("c", pkg("a", "2-1"), pkg("b", "2-1")).there(exp("a", "1-1"))
    assert coming(world.solve(declared=("a", "b"))) == ["b 2-1"]
    assert coming(world.solve(declared=("a",), upgrade=True)) == ["a 2-1"]
    assert coming(world.solve("a")) == ["a 2-1"], "named on the command line it is brought up to date"


def test_constraints_choose_among_channels_and_downgrade(world: World) -> None:
    world.channel("new", pkg("a", "3-1")).channel("old", pkg("a", "2-4")).there(exp("a", "3-1"))
    only = Rules(constraints={"a": at("=2")})
    assert coming(world.solve(declared=("a",), rules=only)) == ["a 2-4"], "a version without release means any release"
    assert coming(world.solve(declared=("a",), rules=Rules(constraints={"a": at(">=2", "<4")}))) == []
    refused = world.solve(declared=("a",), rules=Rules(constraints={"a": at(">3")}))
    assert said(refused) == ["a is wanted >3; there is a 3-1, a 2-4"]


def test_a_dependency_outside_its_constraint_is_said(world: World) -> None:
    world.channel("c", pkg("a", depends=("lib",)), pkg("lib", "2-1"))
    assert said(world.solve("a", rules=Rules(constraints={"lib": at("<2")}))) == [
        "a 1-1 needs lib, but lib is wanted <2"
    ]


def test_upgrades_leave_ignored_packages_alone_and_say_so(world: World) -> None:
    world.channel("c", pkg("linux", "2-1"), pkg("b", "2-1")).there(exp("linux"), exp("b"))
    found = world.solve(upgrade=True, rules=Rules(ignore=("lin*",)))
    assert coming(found) == ["b 2-1"]
    assert found.ignored == (("linux", "2-1"),)
    assert coming(world.solve("linux", rules=Rules(ignore=("lin*",)))) == ["linux 2-1"]


def test_held_packages_are_not_removed_nor_replaced(world: World) -> None:
    world.channel("c", pkg("new", replaces=("old",), conflicts=("old",))).there(exp("old"))
    held = Rules(hold=("old",))
    assert said(world.solve(remove=("old",), rules=held)) == ["old is held: it is not removed"]
    assert said(world.solve("new", rules=held)) == ["new 1-1 and old 1-1 can't be together"]
    assert going(world.solve("new")) == ["old"]


def test_excluded_packages_never_come(world: World) -> None:
    world.channel("c", pkg("a", depends=("mta",)), pkg("exim", provides=("mta",)), pkg("postfix", provides=("mta",)))
    assert coming(world.solve("a", rules=Rules(exclude=("ex*",)))) == ["postfix 1-1", "a 1-1"]
    assert said(world.solve("exim", rules=Rules(exclude=("ex*",)))) == ["exim is excluded"]


def test_only_from_some_channels(world: World) -> None:
    world.channel("one", pkg("a", "1-1")).channel("two", pkg("a", "2-1"))
    assert coming(world.solve("a", rules=Rules(channels={"a": frozenset({"two"})}))) == ["a 2-1"]
    assert said(world.solve("a", rules=Rules(channels={"a": frozenset({"aur"})})))[0].startswith(
        "a is wanted from aur only"
    )


def test_a_channel_that_is_only_used_by_name(world: World) -> None:
    world.channel("testing", pkg("a", "9-1"), pkg("b")).channel("stable", pkg("a", "1-1"))
    rules = Rules(installable=frozenset({"stable"}), upgradable=frozenset({"stable"}))
    assert coming(world.solve("a", rules=rules)) == ["a 1-1"]
    assert coming(world.solve("testing/a", rules=rules)) == ["a 9-1"]
    assert said(world.solve("b", rules=rules))[0].startswith("no channel has b")


def test_an_upgrade_asks_who_takes_an_old_ones_place(world: World) -> None:
    world.channel("c", pkg("new", replaces=("old<2",), provides=("old",))).there(
        exp("old"), dep("user", depends=("old",))
    )
    asked = world.solve(upgrade=True)
    assert [question.text for question in asked.questions] == ["new replaces old"]
    assert coming(asked) == []
    found = world.solve(upgrade=True, rules=Rules(replace={"old": "new"}))
    assert (coming(found), going(found), found.replaces) == (["new 1-1"], ["old"], (("new", "old"),))
    assert "new" in found.explicit, "it inherits the reason"
    refused = world.solve(upgrade=True, rules=Rules(replace={"old": ""}))
    assert coming(refused) == [] and not refused.questions
    world.there(exp("old", "2-1"))
    assert not world.solve(upgrade=True).questions, "the replacement is for older versions"


def test_a_conflict_is_settled_by_a_rule(world: World) -> None:
    world.channel("c", pkg("postfix", conflicts=("exim",))).there(exp("exim"))
    assert said(world.solve("postfix")) == ["exim 1-1 and postfix 1-1 can't be together"]
    assert "--replace exim=postfix" in world.solve("postfix").problems[0].step
    assert going(world.solve(declared=("postfix",), prune=True)) == ["exim"], "nobody declares it"
    assert said(world.solve(declared=("postfix", "exim"), prune=True)), "somebody does"
    found = world.solve("postfix", rules=Rules(replace={"exim": "postfix"}))
    assert (coming(found), going(found)) == (["postfix 1-1"], ["exim"])


def test_an_undecided_provider_is_a_question(world: World) -> None:
    world.channel("c", pkg("a", depends=("awk",)), pkg("gawk", provides=("awk",)), pkg("mawk", provides=("awk",)))
    found = world.solve("a")
    assert [(q.kind, q.subject, q.answers) for q in found.questions] == [("provider", "awk", ("gawk", "mawk"))]
    assert not world.solve("a", rules=Rules(prefer={"awk": "mawk"})).questions
    assert not world.solve("a", "mawk").questions
    world.there(exp("mawk", provides=("awk",)))
    assert not world.solve("a").questions


def test_another_way_is_found_where_the_first_fails_later(world: World) -> None:
    world.channel(
        "c",
        pkg("a", depends=("mta",)),
        pkg("exim", provides=("mta",), depends=("exim-data",)),
        pkg("exim-data", conflicts=("b",)),
        pkg("postfix", provides=("mta",)),
        pkg("b"),
    )
    assert sorted(coming(world.solve("a", "b"))) == ["a 1-1", "b 1-1", "postfix 1-1"]


def test_removal_takes_dependents_along_when_asked(world: World) -> None:
    world.there(exp("lib"), exp("app", depends=("lib",)), exp("top", depends=("app",)), exp("other"))
    assert said(world.solve(remove=("lib",))) == ["lib is needed by app"]
    assert going(world.solve(remove=("lib",), cascade=True)) == ["app", "lib", "top"]


def test_what_nobody_declares_is_listed_and_pruned_when_asked(world: World) -> None:
    world.channel("c", pkg("app", depends=("lib",)), pkg("lib"))
    world.there(
        exp("app", depends=("lib",), optdepends=("extra: more",)),
        exp("lib"),
        exp("old", depends=("old-lib",)),
        dep("old-lib"),
        dep("extra"),
        dep("left"),
    )
    found = world.solve(declared=("app",))
    assert (coming(found), going(found)) == ([], [])
    assert found.undeclared == ("lib", "old")
    assert found.orphans == ("left",)
    pruned = world.solve(declared=("app",), prune=True)
    assert going(pruned) == ["left", "old", "old-lib"], "an optional dependency of app is spared"
    assert pruned.demote == ("lib",)
    held = world.solve(declared=("app",), prune=True, rules=Rules(hold=("old",)))
    assert going(held) == ["left"]


def test_downgrade_goes_back_to_the_channel(world: World) -> None:
    world.channel("c", pkg("a", "1-1"), pkg("b", "2-1")).there(exp("a", "2-1"), exp("b", "1-1"))
    assert coming(world.solve(upgrade=True)) == ["b 2-1"]
    assert coming(world.solve(upgrade=True, downgrade=True)) == ["a 1-1", "b 2-1"]


def test_reinstall(world: World) -> None:
    world.channel("c", pkg("a", "1-1"), pkg("b", "2-1")).there(exp("a"), exp("b"))
    assert coming(world.solve(reinstall=("a",))) == ["a 1-1"]
    assert said(world.solve(reinstall=("b",))) == ["no channel has b 1-1 any more, it can't be installed again"]
    assert said(world.solve(reinstall=("x",))) == ["x is not installed"]


def test_the_smallest_set_that_fails(world: World) -> None:
    many = [pkg(f"p{n}") for n in range(40)]
    world.channel("c", *many, pkg("x", depends=("deep",)), pkg("deep", conflicts=("y",)), pkg("y"))
    targets = (*(record.name for record in many), "x", "y")

    def solve(names: Sequence[str]) -> Resolution:
        return world.solve(*names)

    assert solve(targets).problems
    smallest, problems = explain(targets, solve)
    assert sorted(smallest) == ["x", "y"]
    assert [problem.text for problem in problems] == ["x 1-1 needs deep, but deep conflicts with y"]


def test_unneeded_follows_provides_and_circles() -> None:
    packages = {
        record.name: record
        for record in (
            exp("a", depends=("v",)),
            dep("b", provides=("v",)),
            dep("c", depends=("d",)),
            dep("d", depends=("c",)),
        )
    }
    assert unneeded(packages, ["a"]) == (("c", "d"), ())
