"""The history file: what is read from it after anything; plans and differences as it tells them; undo without files."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import (
    History,
    HistoryEntry,
    PackageChange,
    Plan,
    PlannedPackage,
    Target,
    chosen_entry,
    differences,
    history_of,
    plan_undo,
    planned_changes,
    target_for,
)
from rastos.package.records import PackageRecord


def test_begin_note_end(tmp_path: Path) -> None:
    history = history_of(tmp_path)
    assert history.entries() == ()
    packages = (PackageChange("app", "install", "1-1"),)
    assert history.begin(HistoryEntry(user="me", command="x", packages=packages, base=3)) == 1
    assert history.entry(1).result == "interrupted" and history.entry(1).ended == ""
    history.note(1, snapshot=4)
    history.end(1, "done", seconds=1.23456, deployment=2)
    entry = history.entry(1)
    assert (entry.base, entry.snapshot, entry.deployment, entry.result, entry.seconds) == (3, 4, 2, "done", 1.235)
    assert entry.packages == packages and entry.started <= entry.ended
    assert history.begin(HistoryEntry(), at_least=9) == 9
    assert history.begin(HistoryEntry()) == 10
    assert (tmp_path / "var/log/rastos/packages.jsonl").stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_every_cut_of_the_file_reads_as_what_was_written_before(tmp_path: Path) -> None:
    whole = History(tmp_path / "whole")
    for number in (1, 2):
        whole.begin(HistoryEntry(command=f"c{number}"))
        whole.end(number, "failed", error="é")
    data = whole.path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(data) if byte == 10]
    for length in range(len(data) + 1):
        cut = History(tmp_path / "cut")
        cut.path.write_bytes(data[:length])
        # the newline alone may be missing: the object before it is complete
        lines = sum(end - 1 <= length for end in ends)
        results = [entry.result for entry in cut.entries()]
        assert results == [[], ["interrupted"], ["failed"], ["failed", "interrupted"], ["failed", "failed"]][lines]
        number = cut.begin(HistoryEntry(command="after"))
        assert cut.entries()[-1].command == "after" and number == len(results) + 1
        assert len(cut.entries()) == number


def test_a_file_of_anything(tmp_path: Path) -> None:
    good = {"event": "begin", "number": 3, "time": "t", "uid": 1, "user": "a\x1b[31m", "command": "c"}
    lines: list[object] = [
        5,
        [],
        {"event": "begin"},
        {"event": "begin", "number": "7"},
        {"event": "end", "number": 8, "result": "done"},
        {**good, "uid": "root", "packages": 5, "undoes": "x", "more": 1},
        {"event": "end", "number": 3, "result": "excellent", "seconds": "long"},
        {
            **good,
            "number": 4,
            "packages": [
                {"name": "../../x", "action": "install"},
                {"name": "x", "action": "install", "filename": "../x"},
                {"name": "x", "action": "explode"},
                {"action": "install"},
                "x",
                {"name": "app", "action": "install", "version": 5, "other": 1},
            ],
        },
    ]
    history = History(tmp_path / "log")
    history.path.write_bytes(b"\xff\xfe\n" + b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    third, fourth = history.entries()
    assert (third.number, third.uid, third.user, third.result) == (3, 0, "a [31m", "interrupted")
    assert third.seconds == 0.0 and third.packages == ()
    assert fourth.packages == (PackageChange("app", "install", "5"),)


def test_writers_take_turns(tmp_path: Path) -> None:
    numbers: list[int] = []

    def write() -> None:
        for _ in range(20):
            numbers.append(History(tmp_path / "log").begin(HistoryEntry()))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 81))


def test_links_are_not_followed_out_of_the_tree(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "var").symlink_to(outside)
    with pytest.raises(IntegrityError):
        history_of(root)
    (root / "var").unlink()
    (root / "var/log/rastos").mkdir(parents=True)
    (root / "var/log/rastos/packages.jsonl").symlink_to(outside / "file")
    with pytest.raises(OSError):
        history_of(root).begin(HistoryEntry())
    assert list(outside.iterdir()) == []


def test_the_entry_that_is_meant(tmp_path: Path) -> None:
    entries = (HistoryEntry(1, result="done"), HistoryEntry(2, result="failed"), HistoryEntry(3))
    assert chosen_entry(entries, None, "x").number == 1
    assert chosen_entry(entries, 3, "x").number == 3
    with pytest.raises(UserError) as caught:
        chosen_entry(entries, 4, "x")
    assert caught.value.next_step == "there are 1 to 3"
    with pytest.raises(UserError):
        chosen_entry((), None, "x")


def record(name: str, version: str = "1-1", reason: str = "explicit", **more: object) -> PackageRecord:
    return PackageRecord(name, version, reason=reason, **more)  # type: ignore[arg-type]


def planned(name: str, version: str = "1-1", reason: str = "explicit") -> PlannedPackage:
    return PlannedPackage(name, version, version, "c", reason)  # type: ignore[arg-type]


def test_a_plan_as_history_tells_it() -> None:
    installed = {name: record(name, "2-1", "dependency") for name in ("up", "down", "same", "gone", "mark")}
    installed["auto"] = record("auto")
    incoming = [
        record(name, version, "", filename=f"{name}-{version}.pkg", sha256="d", channel="c")
        for name, version in (("new", "1-1"), ("up", "3-1"), ("down", "1-1"), ("same", "2-1"))
    ]
    upgrade = (planned("up", "3-1", "dependency"), planned("down", "1-1", "dependency"), planned("same", "2-1"))
    plan = Plan(
        (planned("new"),),
        upgrade,
        (planned("gone", "2-1"),),
        tuple(incoming),
        explicit=("mark", "same"),
        demote=("auto",),
    )
    found = {change.name: change for change in planned_changes(plan, installed)}
    assert {name: change.action for name, change in found.items()} == {
        "new": "install",
        "up": "upgrade",
        "down": "downgrade",
        "same": "reinstall",
        "gone": "remove",
        "mark": "reason",
        "auto": "reason",
    }
    assert (found["auto"].old_reason, found["auto"].reason) == ("explicit", "dependency")
    assert found["same"].reason == "explicit" and found["same"].old_reason == "dependency"
    assert found["up"] == PackageChange(
        "up", "upgrade", "3-1", "2-1", "dependency", "dependency", "c", "up-3-1.pkg", "d"
    )
    assert found["gone"].old_version == "2-1" and found["gone"].version == ""


def test_differences() -> None:
    before = {"a": record("a"), "b": record("b"), "c": record("c")}
    after = {"b": record("b", "2-1"), "c": record("c", reason="dependency"), "d": record("d")}
    assert [(item.name, item.action) for item in differences(before, after)] == [
        ("a", "remove"),
        ("b", "upgrade"),
        ("c", "reason"),
        ("d", "install"),
    ]
    assert differences(before, before) == ()


def tree(root: Path, *packages: PackageRecord) -> Target:
    target = target_for(root, root / "cache")
    for item in packages:
        folder = target.database / "local" / f"{item.name}-{item.version}"
        folder.mkdir(parents=True)
        reason = "%REASON%\n1\n\n" if item.reason == "dependency" else ""
        text = "".join(f"{line}\n" for line in item.depends)
        depends = f"%DEPENDS%\n{text}\n" if text else ""
        (folder / "desc").write_text(f"%NAME%\n{item.name}\n\n%VERSION%\n{item.version}\n\n{reason}{depends}")
    return target


def test_undo_walks_back_over_all_entries(tmp_path: Path) -> None:
    target = tree(tmp_path, record("kept"), record("added"), record("again", "3-1"))
    entries = (
        HistoryEntry(1, packages=(PackageChange("kept", "install", "1-1"),), result="done"),
        HistoryEntry(2, packages=(PackageChange("added", "install", "1-1"),), result="done"),
        HistoryEntry(3, packages=(PackageChange("again", "install", "2-1"),), result="interrupted"),
        HistoryEntry(4, packages=(PackageChange("again", "upgrade", "3-1", "2-1"),), result="done"),
    )
    assert [change.name for change in plan_undo(target, entries, 3, []).changes] == ["again"]
    found = plan_undo(target, entries, 2, [])
    assert [package.name for package in found.plan.remove] == ["added", "again"]
    with pytest.raises(UserError) as caught:
        plan_undo(target, entries, None, [tmp_path])
    assert caught.value.detail == "again 2-1"


def test_undo_refuses_what_others_need(tmp_path: Path) -> None:
    target = tree(tmp_path, record("lib"), record("app", depends=("lib", "not-there-anyway")))
    entries = (HistoryEntry(1, packages=(PackageChange("lib", "install", "1-1"),), result="done"),)
    with pytest.raises(UserError) as caught:
        plan_undo(target, entries, 1, [])
    assert caught.value.detail == "app 1-1 needs lib"
