"""Cutting the packages of a fresh tree into layers."""

from __future__ import annotations

from pathlib import Path

from rastos.package import PackageRecord, Plan, PlannedPackage, layers_of, load_manifest, set_groups
from rastos.package.layering import LARGE


def plan(**depends: str) -> Plan:
    """Packages by name; `depends`: names with spaces between them. Those not named are leaves."""
    records, install = [], []
    for name, text in depends.items():
        name = name.replace("_", "-")
        records.append(PackageRecord(name, "1-1", depends=tuple(text.split()), channel="c", sha256=f"sha-{name}"))
        install.append(PlannedPackage(name, "1-1", "1", "c", "explicit"))
    return Plan(install=tuple(install), records=tuple(records), explicit=("app",))


def shape(found: Plan, groups: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    return [
        (layer.name, [record.name for record in layer.plan.records]) for layer in layers_of(found, groups, rules="")
    ]


GROUPS = [("base", ["init"]), ("profile", ["app"]), ("kernel", ["linux"])]


def test_what_is_in_which_layer() -> None:
    wanted = plan(init="libc", libc="", app="lib>=2 libc", lib="libc", linux="kmod libc", kmod="libc", other="")
    assert shape(wanted, GROUPS) == [
        ("base", ["libc", "init"]),
        ("needs of kernel", ["kmod"]),
        ("profile", ["lib", "app"]),
        ("others", ["other"]),
        ("kernel", ["linux"]),
    ]
    every = layers_of(wanted, GROUPS, rules="")
    assert [item for layer in every for item in layer.plan.explicit] == ["app"]
    assert sum(len(layer.plan.install) for layer in every) == len(wanted.install)


def test_circles_and_provided_names() -> None:
    wanted = plan(a="b", b="a virtual", init="a", app="", linux="")
    provider = PackageRecord("real", "1-1", provides=("virtual=3",), channel="c")
    wanted = Plan(install=wanted.install, records=(*wanted.records, provider))
    assert shape(wanted, GROUPS)[0] == ("base", ["real", "b", "a", "init"])


def test_a_key_follows_from_what_is_below_alone() -> None:
    def keys(found: Plan, rules: str = "") -> list[str]:
        return [layer.key for layer in layers_of(found, GROUPS, rules=rules)]

    first = keys(plan(libc="", init="libc", app="libc", linux=""))
    # another order of the same, and something more on top
    other = keys(plan(linux="", lib="", app="lib libc", init="libc", libc=""))
    assert other[0] == first[0] and other[1] != first[1] and other[2] != first[2]
    assert not set(keys(plan(libc="", init="libc", app="libc", linux=""), rules="x")) & set(first)
    records = plan(libc="", init="libc", app="libc", linux="").records
    changed = Plan(records=tuple(PackageRecord(r.name, "1-1", r.arch, channel="c", sha256="new") for r in records))
    assert not set(keys(changed)) & set(first), "same versions, other content"


def test_a_large_group_is_cut_but_not_the_first() -> None:
    many = {f"p{number:02}": "" for number in range(2 * LARGE + 1)}
    groups = [("base", ["init"]), ("set", list(many)), ("profile", []), ("kernel", ["linux"])]
    assert [(name, len(found)) for name, found in shape(plan(init="", linux="", **many), groups)] == [
        ("base", 1),
        ("set 1", LARGE),
        ("set 2", LARGE),
        ("set 3", 1),
        ("kernel", 1),
    ]
    groups = [("set", list(many)), ("kernel", ["linux"])]
    assert [len(found) for _, found in shape(plan(linux="", **many), groups)] == [2 * LARGE + 1, 1]


def test_targets_by_the_set_they_stand_in(tmp_path: Path) -> None:
    place = tmp_path / "packages.toml"
    place.write_text(
        '[sets.base]\npackages = ["a", "b"]\n[sets.more]\ninclude = ["base"]\nexclude = ["b"]\npackages = ["c"]\n'
    )
    manifest = load_manifest(place)
    declared = [item.target for item in manifest.declared(["more"])]
    assert set_groups(manifest, ["more"], [*declared, "x/late>=2"]) == [
        ("base", ["a"]),
        ("more", ["c"]),
        ("others", ["x/late>=2"]),
    ]
