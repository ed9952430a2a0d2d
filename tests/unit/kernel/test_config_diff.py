"""Differences in words, and a profile taken from one version to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.kernel import MenuEntry, compare_configs, nearest_tree, port_report, tally
from rastos.kernel.config_diff import in_words
from rastos.kernel.config_menus import menus_of
from tests.unit.kernel.small_kernel import KCONFIG, Planner, planner, resolved, source

__all__ = ["planner"]


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        ("y", "m", "tristate", "built in → module"),
        ("y", "n", "tristate", "built in → off"),
        ("n", "m", "", "off → module"),
        ("y", "n", "bool", "on → off"),
        ("y", "n", "", "on → off"),
        ("64", "128", "int", "64 → 128"),
        ("n", '"a"', "string", 'not set → "a"'),
    ],
)
def test_in_words(old: str, new: str, kind: str, words: str) -> None:
    assert in_words(old, new, kind) == words


def test_what_differs_menu_by_menu() -> None:
    before = {"NET": "y", "OLD": "y", "NR": "4", "SAME": "y", "EMPTY": '""'}
    after = {"NET": "m", "NEW": "y", "NR": "8", "SAME": "y"}
    entry = {name: MenuEntry(f"the {name}", ("B" if name == "NR" else "A",), "") for name in ("NET", "NR", "SAME")}
    was, now = {**entry, "OLD": MenuEntry("old", ("A",), "bool")}, {**entry, "NEW": MenuEntry("", ("A",), "bool")}
    found = compare_configs(before, after, was, now)
    assert [(item.symbol, item.words) for item in found] == [
        ("NET", "built in → module"),
        ("NEW", "no such option → on"),
        ("OLD", "on → no such option"),
        ("NR", "4 → 8"),
    ]
    assert found[0].prompt == "the NET" and found[3].menu == ("B",)
    assert tally(found) == {"on": 1, "off": 1, "built in or module": 1, "other value": 1}
    near = compare_configs(before, after, was, now, exact=(False, False))
    assert [item.words for item in near[1:3]] == ["off → on", "on → off"], "nothing is said of what a version has"


NEWER = (
    KCONFIG.replace("config BUS_DISK\n", "config BUS_STORAGE\n")
    .replace('\ttristate "Host controller"\n', '\ttristate "Host controller"\n\tdepends on FIRMWARE\n')
    .replace('"small"', '"newer"')
    .replace("if BUS\n", 'if BUS\n\nconfig BUS_TRACE\n\tbool "Trace the bus"\n', 1)
    + '\nconfig FIRMWARE\n\tbool "Firmware"\n\nconfig ELSEWHERE\n\tbool "New, in no menu of ours"\n'
)


def test_a_profile_on_a_newer_kernel(tmp_path: Path, planner: Planner) -> None:
    asked = "CONFIG_BUS=y\nCONFIG_BUS_HOST=y\nCONFIG_BUS_DISK=y\n"
    old = resolved(planner(source(tmp_path / "old"), asked))
    new = resolved(planner(source(tmp_path / "new", "6.18.1", NEWER.replace("if BUS_DISK", "if BUS_STORAGE")), asked))
    report = port_report(old, new)
    assert (report.before, report.after, report.requested) == ("6.12.9", "6.18.1", 3)
    (gone,) = report.gone
    assert gone.request.symbol == "BUS_DISK" and gone.prompt == "Disks on the bus" and gone.was_fulfilled
    assert (gone.heirs[0].symbol, gone.heirs[0].because) == ("BUS_STORAGE", "same prompt")
    (dropped,) = report.dropped
    assert dropped.request.symbol == "BUS_HOST" and dropped.fix == ("CONFIG_FIRMWARE=y",)
    assert [item.symbol for item in report.new] == ["BUS_TRACE"], "only in menus that the profile uses"
    assert [(item.symbol, item.words) for item in report.changed] == [
        ("NAME", "small → newer"),
        ("BUS_SLOTS", "16 → 4"),
    ]
    assert (report.lost, report.kept) == (2, 1)


def test_what_may_be_missing_is_not_lost(tmp_path: Path, planner: Planner) -> None:
    may = '[[may-drop]]\nsymbol = "BUS_DISK"\nreason = "older kernels only"\n'
    old = resolved(planner(source(tmp_path / "old"), "CONFIG_BUS_DISK=y\n", may))
    new = resolved(planner(source(tmp_path / "new", "6.18.1", NEWER), "CONFIG_BUS_DISK=y\n", may))
    report = port_report(old, new)
    assert report.lost == 0 and report.gone[0].accepted == "older kernels only" and not report.gone[0].was_fulfilled


def test_an_old_name_that_is_handed_on(tmp_path: Path, planner: Planner) -> None:
    newer = (
        KCONFIG.replace("config NET\n", "config NETWORK\n").replace("\tselect SUMS\n", "\tdefault NET\n\tselect SUMS\n")
        + "\nconfig NET\n\tbool\n\ttransitional\n"
    )
    old = resolved(planner(source(tmp_path / "old"), "CONFIG_NET=y\n"))
    # kconfiglib's own commands don't know the keyword: the tree is configured by the old text
    tree = source(tmp_path / "new", "6.18.1", newer.replace("\ttransitional\n", ""))
    new = resolved(planner(tree, "CONFIG_NET=y\n"))
    (tree / "Kconfig").write_text(newer)
    (gone,) = port_report(old, new).gone
    assert gone.request.symbol == "NET" and gone.accepted and gone.heirs[0].symbol == "NETWORK"


def test_menus_are_kept_and_a_damaged_note_is_read_again(tmp_path: Path, planner: Planner) -> None:
    plan = resolved(planner(source(tmp_path / "linux"))).plan
    cache = tmp_path / "cache"
    folder = cache / "sources/one"
    folder.mkdir(parents=True)
    (folder / "tree").symlink_to(plan.source.tree)
    (folder / "source.json").write_text('{"version": "6.12.9", "digest": "abc"}')
    (cache / "sources/two").mkdir()
    (cache / "sources/two/source.json").write_text("{")
    tree = nearest_tree("6.11.2-generic", cache)
    assert tree is not None and tree.version == "6.12.9"
    assert menus_of(tree, cache)["BUS_HOST"] == MenuEntry("Host controller", ("Buses", "Bus"), "tristate")
    (kept,) = (cache / "configs").glob("menus-*.json")
    kept.write_text("[1]")
    assert menus_of(tree, cache)["NET"].prompt == "Networking"
