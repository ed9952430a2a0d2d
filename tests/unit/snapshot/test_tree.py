"""The tree as values and as lines."""

from __future__ import annotations

import pytest

from rastos.cli.drawing import draw_tree
from rastos.snapshot import Delta, Deployment, Intent, Sizes, Snapshot, ancestors, descendants, grow, matching
from rastos.snapshot.tree import circles


def node(number: int, parent: int | None, text: str = "x", **more: object) -> Snapshot:
    return Snapshot(number, f"uuid{number}", parent, "2026-01-01T00:00:00+00:00", text, kernel="6.1", **more)  # type: ignore[arg-type]


def test_tree_is_drawn_whole() -> None:
    every = [
        node(0, None, "first"),
        node(1, 0, "a", delta=Delta(("x",), (), ("y",))),
        node(2, 1, "b", name="web", tags=("old",)),
        node(3, 0, "c", pinned=True),
        node(4, 0, "d"),
    ]
    deployments = [Deployment(1, 0, "", "", "6.1", "new"), Deployment(2, 1, "", "", "6.1", "merge")]
    tree = grow(every, deployments, {"booted": (0,), "next": (1,), "good": (0,), "bad": (2,)})
    lines = [line.plain for line in draw_tree(tree, {1: Sizes(3 << 20, 0, 1 << 20)})]
    assert [line[:17].rstrip() for line in lines] == [
        "◉ 0  first",
        "├─● 1  a",
        "│ ○ 2 web #old  b",
        "├─○ 3  c",
        "○ 4  d",
    ]
    assert lines[0].endswith("running  last good  deployment 1")
    assert "+1 ~1" in lines[1] and "1.0 MiB own + 2.0 MiB shared" in lines[1]
    assert lines[1].endswith("boots next  deployment 2")
    assert lines[2].endswith("failed to boot")
    assert lines[3].endswith("pinned")
    assert "6.1" in lines[0] and not any("6.1" in line for line in lines[1:])


def test_two_trees_stand_apart_and_descriptions_are_cut_to_the_width() -> None:
    tree = grow([node(0, None), node(1, None, "long " * 40)])
    lines = [line.plain for line in draw_tree(tree, width=80)]
    assert lines[1] == "" and len(lines) == 3
    assert len(lines[2]) <= 80 and "…" in lines[2]


def test_a_long_chain_is_folded_and_a_lost_parent_is_a_root() -> None:
    chain = [node(0, None), *(node(n, n - 1) for n in range(1, 5000)), node(9000, 8000, "orphan")]
    tree = grow(chain)
    assert tree.roots == (0, 9000)
    assert len(draw_tree(tree, whole=True)) == 5002
    folded = [line.plain for line in draw_tree(tree)]
    assert len(folded) == 5
    assert folded[1].startswith("┊ 4998 snapshots, 1 … 4998")
    assert folded[2].startswith("○ 4999")


def test_parents_may_be_younger_than_their_children() -> None:
    tree = grow([node(0, None), node(1, 3), node(2, 0), node(3, 0)])
    assert tree.nodes[3].children == (1,)
    assert [line.plain.split("  ")[0] for line in draw_tree(tree)] == ["○ 0", "├─○ 2", "○ 3", "○ 1"]


@pytest.mark.parametrize(
    ("parents", "cut"),
    [({0: 0}, (0,)), ({0: 1, 1: 0, 2: 1}, (0,)), ({0: None, 1: 2, 2: 3, 3: 2}, (2,)), ({0: None, 1: 0}, ())],
)
def test_a_circle_is_cut_and_nothing_is_lost(parents: dict[int, int | None], cut: tuple[int, ...]) -> None:
    every = [node(number, parent) for number, parent in parents.items()]
    tree = grow(every)
    assert circles(every) == cut
    assert len([line for line in draw_tree(tree) if line.plain]) == len(parents)


def test_lines_up_and_down() -> None:
    every = [node(0, None), node(1, 3), node(2, 0), node(3, 0), node(4, 1)]
    assert [item.id for item in descendants(every, 0)] == [2, 3, 1, 4]
    assert [item.id for item in descendants(every, 1)] == [4]
    assert [item.id for item in ancestors(every, 4)] == [0, 3, 1, 4]


def test_search_looks_everywhere_and_all_words_count() -> None:
    every = [node(0, None, "Web server", tags=("stable",)), node(1, 0, "test", delta=Delta(("nginx",)), note="for Ann")]
    assert [item.id for item in matching(every, "web SERVER")] == [0]
    assert [item.id for item in matching(every, "nginx ann")] == [1]
    assert [item.id for item in matching(every, "", ["stable"])] == [0]
    assert matching(every, "web nginx") == ()


def test_intents_add_up() -> None:
    one = Intent(("a", "b"), ("c",), False, (("x",),))
    two = Intent(("c",), ("a",), True, (("y",),))
    assert one.then(two) == Intent(("b", "c"), ("a",), True, (("x",), ("y",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "3"},
        {"parent": "0"},
        {"parent": True},
        {"created": "yesterday"},
        {"tags": "stable"},
        {"delta": {"added": "nginx"}},
        {"intent": [1]},
        {"uuid": None},
    ],
)
def test_metadata_edited_by_hand_is_not_taken_as_it_is(wrong: dict[str, object]) -> None:
    good = node(3, 0, tags=("a",), intent=Intent(("b",))).to_json()
    assert Snapshot.from_json({**good, "of a later version": 1}).id == 3
    with pytest.raises((TypeError, ValueError, AttributeError)):
        Snapshot.from_json({**good, **wrong})


def test_what_is_said_of_a_snapshot_cannot_steer_a_terminal() -> None:
    value = node(0, None, "red \x1b[31m\nlines\u202e", name="n\x07").to_json()
    assert (Snapshot.from_json(value).description, Snapshot.from_json(value).name) == ("red [31mlines", "n")
