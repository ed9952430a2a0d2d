"""Intents, records of sessions, and what is decided about files and packages: pure, or with files in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import PackageRecord
from rastos.snapshot.metadata import Intent, Snapshot
from rastos.snapshot.rebase_files import carry_over, plan_carrying, same
from rastos.snapshot.recursive import NodeChange, wish
from rastos.snapshot.session_record import RECORD, SessionRecord, read_record, write_record


def test_what_was_installed_and_removed_again_is_not_asked_again() -> None:
    first = Intent(("core/strace>=1", "vim"), ("nano",), commands=(("one",),))
    both = first.then(Intent(("nano",), ("strace",), True, (("two",),), network=True))
    assert both == Intent(("vim", "nano"), ("strace",), True, (("one",), ("two",)), network=True)
    assert Intent().then(Intent(files=True)).files


def test_an_intent_comes_back_as_it_was_written() -> None:
    made = Snapshot(1, "u", 0, "2026-01-01T00:00:00+00:00", intent=Intent(("a",), files=True, network=True), succeeds=0)
    import json

    assert Snapshot.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert (
        Snapshot.from_json({"id": 1, "uuid": "", "parent": None, "created": "2026-01-01T00:00:00+00:00"}).succeeds
        is None
    )


def test_a_record_comes_back_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    record = SessionRecord("key", 3, "p", "now", 1, name="n", keep=True, intent=Intent(("a",)), made=((1, 2),))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    (tmp_path / RECORD).write_text('{"key": 1, "future": true}')
    with pytest.raises(IntegrityError, match="damaged"):
        read_record(tmp_path)


def test_on_a_new_parent_only_what_is_there_is_removed() -> None:
    asked = Intent(("strace",), ("vim", "nano"))
    node = NodeChange(1, "", "parent", 2, False, asked, asked)
    found = wish(node, {"vim": PackageRecord("vim", "1-1")})
    assert found is not None and (found.declared, found.remove, found.install) == (("strace",), ("vim",), ())
    assert wish(NodeChange(1, "", "parent", 2, False, Intent(remove=("x",)), Intent()), {}) is None


def _trees(folder: Path, **trees: dict[str, str]) -> tuple[Path, Path, Path]:
    for name, files in trees.items():
        (folder / name / "etc").mkdir(parents=True)
        for path, content in files.items():
            place = folder / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
    return folder / "before", folder / "after", folder / "target"


def test_files_are_carried_over_three_ways(tmp_path: Path) -> None:
    before, after, target = _trees(
        tmp_path,
        before={
            "etc/a": "1",
            "etc/gone": "1",
            "etc/both": "1",
            "etc/alike": "1",
            "etc/dropped": "1",
            "etc/passwd": "r:0\n",
        },
        after={
            "etc/a": "2",
            "etc/both": "2",
            "etc/alike": "2",
            "etc/dropped": "2",
            "etc/passwd": "r:0\nme:1\n",
            "opt/x/y": "new",
        },
        target={"etc/a": "1", "etc/gone": "1", "etc/both": "3", "etc/alike": "2", "etc/passwd": "r:0\n_d:9\n"},
    )
    paths = ("etc/a", "etc/alike", "etc/both", "etc/dropped", "etc/gone", "etc/passwd", "opt", "opt/x", "opt/x/y")
    plan = plan_carrying(before, after, target, paths)
    assert {item.path: item.action for item in plan} == {
        "etc/a": "take",
        "etc/both": "conflict",
        "etc/dropped": "take",
        "etc/gone": "remove",
        "etc/passwd": "merge",
        "opt": "take",
        "opt/x": "take",
        "opt/x/y": "take",
    }
    assert carry_over(before, after, target, plan) == ("etc/both",)
    assert (target / "etc/a").read_text() == "2" and not (target / "etc/gone").exists()
    assert ((target / "etc/both").read_text(), (target / "etc/both.rastos-new").read_text()) == ("2", "3")
    assert (target / "etc/passwd").read_text() == "r:0\nme:1\n_d:9\n"
    assert (target / "opt/x/y").read_text() == "new" and (target / "etc/dropped").read_text() == "2"
    assert plan_carrying(before, after, target, ("etc/a", "etc/gone", "opt/x/y")) == ()


def test_a_folder_that_became_a_file_and_the_reverse(tmp_path: Path) -> None:
    folders = {"etc/d/one": "1", "etc/e/one": "1", "etc/f": "file"}
    after_files = {"etc/d": "now a file", "etc/e": "now a file", "etc/f/in": "now a folder"}
    before, after, target = _trees(
        tmp_path, before=folders, after=after_files, target={**folders, "etc/e/two": "the new parent's"}
    )
    plan = plan_carrying(before, after, target, ("etc/d", "etc/d/one", "etc/e", "etc/e/one", "etc/f", "etc/f/in"))
    assert carry_over(before, after, target, plan) == ("etc/e",)
    assert (target / "etc/d").read_text() == "now a file" and (target / "etc/f/in").read_text() == "now a folder"
    assert (target / "etc/e").read_text() == "now a file"
    assert (target / "etc/e.rastos-new/two").read_text() == "the new parent's"


def test_what_leads_out_of_the_target_is_left_alone(tmp_path: Path) -> None:
    before, after, target = _trees(tmp_path, before={}, after={"etc/way/file": "x"}, target={})
    (tmp_path / "outside").mkdir()
    (target / "etc/way").symlink_to(tmp_path / "outside")
    plan = plan_carrying(before, after, target, ("etc/way/file",))
    assert carry_over(before, after, target, plan) == ("etc/way/file",)
    assert list((tmp_path / "outside").iterdir()) == []


def test_same_looks_at_mode_and_kind_too(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("x")
    two.write_text("x")
    assert same(one, two) and same(tmp_path / "no", tmp_path / "neither") and not same(one, tmp_path / "no")
    two.chmod(0o600)
    assert not same(one, two)
    two.unlink()
    two.symlink_to("one")
    assert not same(one, two)


def test_names_of_sessions() -> None:
    from rastos.snapshot.session_record import _NAME

    assert _NAME.fullmatch("tuning-2") and not _NAME.fullmatch("../x") and not _NAME.fullmatch("3")
    assert UserError("x").next_step
