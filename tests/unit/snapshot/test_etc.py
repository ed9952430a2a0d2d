"""/etc in parts: what is decided of a path, people, policy. No file system of its own is needed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.snapshot.etc_accounts import merge_accounts, merge_lines
from rastos.snapshot.etc_merge import EtcMerge, Mixed, plan_etc, plan_merge
from rastos.snapshot.etc_policy import BUILT_IN, Policy, Rule, read_policy
from rastos.snapshot.etc_tree import Item, fingerprint


def _file(content: str, mode: int = 0o644, owner: int = 0, **attributes: bytes) -> Item:
    return Item(stat.S_IFREG, mode, (owner, owner), content, tuple(sorted(attributes.items())))


FOLDER = Item(stat.S_IFDIR, 0o755, (0, 0), "", ())
LINK = Item(stat.S_IFLNK, 0, (0, 0), "/root/elsewhere", ())
A, B, C = _file("a"), _file("b"), _file("c")


def _trees(base: dict[str, Item], ours: dict[str, Item], theirs: dict[str, Item], way: str = "merge") -> EtcMerge:
    return plan_merge(base, ours, theirs, policy=Policy((Rule("x*", way), *BUILT_IN)))


def test_each_aspect_is_merged_for_itself() -> None:
    ours, theirs = _file("a", 0o600), _file("b", owner=5, tag=b"t")
    (mixed,) = plan_merge({"x": A}, {"x": ours}, {"x": theirs}).mixed
    assert mixed == Mixed("x", _file("b", 0o600, 5, tag=b"t"), "theirs")
    assert plan_merge({"x": A}, {"x": _file("b")}, {"x": _file("a", 0o600)}).mixed == (
        Mixed("x", _file("b", 0o600), "ours"),
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_file("a", 0o600), _file("a", 0o640)),
        (_file("a", owner=1), _file("a", owner=2)),
        (_file("a", tag=b"1"), _file("a", tag=b"2")),
        (LINK, A),
        (FOLDER, B),
    ],
)
def test_what_both_changed_differently_is_a_conflict(ours: Item, theirs: Item) -> None:
    base = A if theirs != A else _file("old")
    found = plan_merge({"x": base}, {"x": ours}, {"x": theirs})
    assert found.conflicts == ("x",) and found.details[0].beside == "x.rastos-new"
    assert not found.take and not found.mixed


def test_nothing_goes_through_a_link_of_ours() -> None:
    found = plan_merge({"d": FOLDER}, {"d": LINK}, {"d": FOLDER, "d/new": A, "d/e": FOLDER, "d/e/f": A})
    assert found.take == ()
    assert {item.path: item.beside for item in found.details} == {
        "d/new": "d.rastos-new/new",
        "d/e": "d.rastos-new/e",
        "d/e/f": "d.rastos-new/e/f",
    }


def test_a_folder_of_ours_with_something_in_it_is_not_made_a_file() -> None:
    base = {"d": FOLDER, "d/theirs": A}
    found = plan_merge(base, {**base, "d/mine": A}, {"d": B})
    assert found.conflicts == ("d",) and found.take == () and found.remove == ("d/theirs",)
    assert plan_merge(base, base, {"d": B}).take == ("d",)


def test_a_folder_of_theirs_in_conflict_is_put_beside_whole() -> None:
    found = plan_merge({"x": A}, {"x": B}, {"x": FOLDER, "x/in": A})
    assert found.conflicts == ("x",) and found.take == ()


def test_what_we_removed_with_its_folder_is_shown_beside_it() -> None:
    base = {"d": FOLDER, "d/f": A}
    (detail,) = plan_merge(base, {}, {"d": FOLDER, "d/f": B}).details
    assert (detail.path, detail.beside) == ("d/f", "d.rastos-new/f")


@pytest.mark.parametrize(
    ("way", "take", "remove", "conflicts", "asked"),
    [
        ("ours", (), (), (), ()),
        ("theirs", ("x1",), ("x2",), (), ()),
        ("identity", (), (), (), ()),
        ("ask", (), (), ("x1",), ("x1",)),
        ("merge", (), (), ("x1",), ()),
    ],
)
def test_a_rule_decides(way: str, take: object, remove: object, conflicts: object, asked: object) -> None:
    base = {"x1": A, "x2": A}
    ours = {"x1": LINK, "x2": B, "x3": A}
    found = _trees(base, ours, {"x1": C}, way)
    assert (found.take, found.remove, found.conflicts, found.asked) == (take, remove, conflicts, asked)


def test_rules_of_the_machine_come_before_those_of_packages(tmp_path: Path) -> None:
    etc, tree = tmp_path / "etc", tmp_path / "tree"
    (etc / "rastos").mkdir(parents=True)
    (tree / "usr/lib/rastos/etc-policy.d").mkdir(parents=True)
    (etc / "rastos/etc-policy.toml").write_text('[paths]\n"app/*" = "ours"\n"ld.so.cache" = "ours"\n')
    (tree / "usr/lib/rastos/etc-policy.d/a.toml").write_text('[paths]\n"app" = "theirs"\n"other" = "ask"\n')
    policy = read_policy(etc, tree, {"app/named": "theirs"})
    names = ("app/x", "app/named", "app", "other/deep/y", "machine-id", "fstab", "ld.so.cache")
    ways = ["ours", "theirs", "theirs", "ask", "identity", "merge", "ours"]
    assert [policy.way(name) for name in names] == ways
    for text in ('[paths]\n"x" = "mine"\n', '[paths]\n"../x" = "ours"\n', "[other]\n", "paths = 1\n", "["):
        (etc / "rastos/etc-policy.toml").write_text(text)
        with pytest.raises(UserError):
            read_policy(etc, tree)


def _etc(root: Path, name: str, files: dict[str, str]) -> Path:
    place = root / name
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(text.encode("latin-1"))
    return place


def test_texts_are_merged_line_by_line(tmp_path: Path) -> None:
    lines = "".join(f"{number}\n" for number in range(9))
    base = _etc(tmp_path, "base", {"far": lines, "near": lines, "binary": "a\0"})
    ours = _etc(tmp_path, "ours", {"far": lines.replace("1", "one"), "near": lines.replace("1", "I"), "binary": "b\0"})
    theirs = _etc(tmp_path, "theirs", {"far": lines + "nine", "near": lines.replace("1", "i"), "binary": "c\0"})
    found = plan_etc(base, ours, theirs, policy=Policy(), tree=tmp_path)
    assert found.conflicts == ("binary", "near")
    assert [(item.path, item.text) for item in found.mixed] == [("far", lines.replace("1", "one") + "nine")]
    assert [item.beside for item in found.details] == ["binary.rastos-new", "near.rastos-new"]
    assert "text" not in str(found.to_json()["mixed"])
    before = fingerprint(ours)
    assert found.seen == before
    (ours / "far").write_text("other")
    assert fingerprint(ours) != before


PASSWD = "root:x:0:0:root:/root:/bin/sh\nold:x:5:5::/:/bin/false\n"
GROUP = "root:x:0:\nsudo:x:27:\nold:x:5:\n"


def _people(
    tmp_path: Path, ours: dict[str, str], theirs: dict[str, str]
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    base = {"passwd": PASSWD, "group": GROUP, "shadow": "root:*:1::::::\n", "gshadow": ""}
    found = merge_accounts(base, {**base, **ours}, {**base, **theirs}, tmp_path)
    rows = {name: text.splitlines() for name, text in found.texts.items()}
    return rows, [f"{name}: {why}" for name, why in found.conflicts], list(found.notes)


def test_people_are_merged_field_by_field(tmp_path: Path) -> None:
    rows, conflicts, notes = _people(
        tmp_path,
        {
            "passwd": PASSWD.replace("/bin/sh", "/bin/zsh") + "me:x:1000:1000::/home/me:/bin/sh\n",
            "group": GROUP.replace("sudo:x:27:", "sudo:x:27:me") + "me:x:1000:\n",
            "shadow": "root:$6$mine:1::::::\n",
        },
        {
            "passwd": "root:x:0:0:Charlie:/root:/bin/sh\n_new:x:9:9::/:/bin/false\n",
            "group": "root:x:0:\nsudo:x:27:_new\n_new:x:9:\n",
            "shadow": "root:*:2::::::\n",
        },
    )
    assert rows["passwd"] == [
        "root:x:0:0:Charlie:/root:/bin/zsh",
        "me:x:1000:1000::/home/me:/bin/sh",
        "_new:x:9:9::/:/bin/false",
    ]
    assert rows["group"] == ["root:x:0:", "sudo:x:27:me,_new", "me:x:1000:", "_new:x:9:"]
    assert rows["shadow"] == ["root:$6$mine:2::::::"]
    assert (conflicts, notes) == ([], [])


def test_a_number_that_is_taken_is_not_given_twice(tmp_path: Path) -> None:
    mine = {"passwd": PASSWD + "me:x:998:998::/:/bin/sh\n", "group": GROUP + "me:x:998:\n"}
    theirs = {"passwd": PASSWD + "_new:x:998:998::/:/bin/sh\n", "group": GROUP + "_new:x:998:\n"}
    rows, conflicts, notes = _people(tmp_path, mine, theirs)
    assert rows["passwd"][-1] == "_new:x:999:999::/:/bin/sh" and rows["group"][-1] == "_new:x:999:"
    assert conflicts == [] and len(notes) == 2 and "998 is your user me's" in notes[0]


def test_a_number_that_files_have_stays_and_is_reported(tmp_path: Path) -> None:
    import os

    (tmp_path / "file").write_text("")
    number = os.stat(tmp_path / "file").st_uid
    row = f"{{}}:x:{number}:7::/:/bin/sh\n"
    base = {name: "" for name in ("passwd", "group", "shadow", "gshadow")}
    found = merge_accounts(base, {"passwd": row.format("me")}, {"passwd": row.format("_new")}, tmp_path)
    assert found.texts["passwd"].count(f":{number}:") == 2
    assert "files of the snapshot have it" in found.conflicts[0][1]


def test_state_on_disk_keeps_its_owner(tmp_path: Path) -> None:
    """A package built anew may give its user another number; files under /var still have the old one."""
    rows, conflicts, _ = _people(
        tmp_path,
        {"passwd": PASSWD + "me:x:1000:5::/:/bin/sh\n"},
        {"passwd": PASSWD.replace("old:x:5:5", "old:x:6543:5")},
    )
    assert rows["passwd"][1].startswith("old:x:5:5") and conflicts == []


def test_odd_lines_stay_whole(tmp_path: Path) -> None:
    rows, conflicts, _ = _people(
        tmp_path, {"passwd": PASSWD + "+nis::::::\nbad line\n"}, {"passwd": PASSWD + "_n:x:9:9::/:/x\n"}
    )
    assert "bad line" in rows["passwd"] and "+nis::::::" in rows["passwd"] and "_n:x:9:9::/:/x" in rows["passwd"]
    assert conflicts == []


def test_several_lines_of_one_name_stay() -> None:
    assert merge_lines("a:1:1\n", "a:1:1\na:2:2\nb:3:3\n", "a:1:1\nc:4:4\n") == "a:1:1\na:2:2\nb:3:3\nc:4:4\n"
    assert merge_lines("a:1:1\n", "a:1:1\nb:3:3\n", "") == "b:3:3\n"
