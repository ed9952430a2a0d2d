"""The shape of the tree on a real btrfs: copies, other parents, deleting, what is lost and told anew, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.host import run
from rastos.snapshot import (
    Intent,
    Store,
    check_name,
    copy_snapshots,
    create_session,
    create_snapshot,
    delete,
    difference,
    discard_session,
    examine,
    mend,
    parse_schedule,
    path_log,
    plan_clone_tree,
    plan_copy,
    plan_delete,
    plan_prune,
    plan_reparent,
    reparent,
    subvolume,
)
from rastos.snapshot.bootentry import ENTRIES
from tests.conftest import ROOT, need
from tests.system.storehouse import child, first_snapshot, flaws
from tests.system.treehouse import deployed, format_disk, planted, tree_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with planted(tmp_path) as opened:
        yield opened


def again(store: Store) -> Store:
    """As the next command finds it."""
    return Store.open(store.top, store.esp, writable=True)


def package(name: str, version: str = "1-1") -> dict[str, str | None]:
    return {f"usr/lib/sysimage/pacman/local/{name}-{version}/desc": f"%NAME%\n{name}\n"}


def shape(store: Store) -> dict[int, int | None]:
    return {item.id: item.parent for item in store.snapshots()}


def test_copies_have_the_place_that_was_asked_for(store: Store) -> None:
    child(store, 0, "a", {"etc/a": "a", **package("nginx")})
    (sibling,) = copy_snapshots(store, plan_copy(store, 1, parent=0, what="clone"))
    (root,) = copy_snapshots(store, plan_copy(store, 1, parent=None, what="clone", name="alone"))
    (below,) = copy_snapshots(store, plan_copy(store, 0, parent=1, what="clone"))
    assert shape(store) == {0: None, 1: 0, 2: 0, 3: None, 4: 1}
    assert (sibling.delta.added, sibling.intent) == (("nginx",), Intent(("nginx",)))
    assert not root.delta.added and root.name == "alone"
    assert below.delta.removed == ("nginx",) and below.intent == Intent((), ("nginx",))
    assert (store.tree(3) / "etc/a").read_text() == "a"
    with pytest.raises(OSError, match="Read-only"):
        (store.tree(3) / "etc/a").write_text("b")
    assert len({item.uuid for item in store.snapshots()}) == 5
    assert not difference(store, 1, 3)


def test_a_tree_is_cloned_in_its_shape(store: Store) -> None:
    child(store, 0, "a", {"etc/a": "a"})
    child(store, 1, "b", {"etc/b": "b"})
    child(store, 1, "c", {"etc/c": "c"})
    child(store, 0, "beside", {})
    store.update(replace(store.snapshot(1), name="web", tags=("stable",)))
    made = copy_snapshots(store, plan_clone_tree(store, 1, name="copy"))
    assert [(item.id, item.parent, item.name) for item in made] == [(5, None, "copy"), (6, 5, ""), (7, 5, "")]
    assert [item.description for item in made] == ["a", "b", "c"]
    assert (store.tree(7) / "etc/c").is_file() and not (store.tree(7) / "etc/b").exists()
    assert not list(store.top.glob("journal/*")) and not list(store.top.glob("snapshots/.new-*"))


def test_another_parent_and_no_circle(store: Store) -> None:
    child(store, 0, "a", package("nginx"))
    child(store, 1, "b", package("php"))
    child(store, 0, "c", package("php"))
    for parent in (2, 1):
        with pytest.raises(UserError, match="can't become a child"):
            plan_reparent(store, 1, parent)
    reparent(store, plan_reparent(store, 2, 3))
    moved = again(store).snapshot(2)
    assert (moved.parent, moved.delta.added, moved.intent.install) == (3, ("nginx",), ("nginx",))
    reparent(store, plan_reparent(store, 3, None))
    assert shape(store) == {0: None, 1: 0, 2: 3, 3: None}


def test_delete_says_why_it_does_not(store: Store) -> None:
    deployed(store, 0, good=True)
    child(store, 0, "a", {"etc/a": "a"})
    child(store, 1, "b", {"etc/b": "b"})
    deployed(store, 1)
    store.update(replace(store.snapshot(2), pinned=True))
    store.booted = 1
    for number, why in ((0, "is running"), (1, "boots next"), (2, "is pinned")):
        with pytest.raises(UserError, match=why):
            plan_delete(store, number)
    store.booted = None
    with pytest.raises(UserError, match="last one known to boot well"):
        plan_delete(store, 0)
    with pytest.raises(UserError, match="is pinned"):
        plan_delete(store, 2, below=True)
    store.update(replace(store.snapshot(2), pinned=False))
    with pytest.raises(UserError, match="boots next"):
        plan_delete(store, 1, below=True)
    with create_session(store, 2, "test", keep="work"), pytest.raises(UserError, match="session work"):
        plan_delete(store, 2)
    discard_session(store, "work")
    delete(store, plan_delete(store, 2))
    assert shape(store) == {0: None, 1: 0}


def test_children_get_the_nearest_ancestor_and_what_was_asked_adds_up(store: Store) -> None:
    for number, name in enumerate(("nginx", "php", "redis")):
        made = child(store, number, name, package(name))
        store.update(replace(made, intent=Intent((name,))))
    delete(store, plan_delete(store, 1, 2))
    last = again(store).snapshot(3)
    assert (last.parent, last.delta.added) == (0, ("nginx", "php", "redis"))
    assert last.intent.install == ("nginx", "php", "redis")
    delete(store, plan_delete(store, 0, below=True))
    assert store.snapshots() == ()


def test_deployments_go_with_their_snapshot(store: Store) -> None:
    deployed(store, 0, good=True)
    child(store, 0, "a", {"usr/lib/modules/6.1-test/vmlinuz": "another kernel"})
    deployed(store, 1)
    deployed(store, 0)
    plan = plan_delete(store, 1)
    assert plan.deployments == (2,)
    delete(store, plan)
    assert [item.number for item in store.deployments()] == [1, 3]
    assert len(store.esp.list("/rastos")) == 1 + 1
    assert flaws(store) == [] and examine(store) == ()


def test_names_that_are_unknown_near_or_several(store: Store) -> None:
    for name in ("web", "webmail"):
        create_snapshot(store, 0, "x", name=name, tags=["both"])
    assert store.snapshot("web").id == 1
    assert store.snapshot(store.snapshot(2).uuid[:8]).id == 2
    for reference, said in (("wen", "web"), ("both", "1 .web., 2 .webmail."), ("", "snapshots:"), ("99", "snapshots:")):
        with pytest.raises(UserError) as caught:
            store.snapshot(reference)
        assert re.search(said, caught.value.next_step), caught.value.next_step
    for word, said in (("next", "nothing is deployed"), ("good", "marked good"), ("booted", "running")):
        with pytest.raises(UserError, match=said):
            store.snapshot(word)
    deployed(store, 1, good=True)
    store.booted = 1
    assert {store.snapshot(word).id for word in ("next", "good", "booted")} == {1}
    for name in ("web", "7", "latest", "a b", "../x", "-x", "", "x" * 65, "good"):
        with pytest.raises(UserError):
            check_name(store, name)
    check_name(store, "web", of=1)


def test_the_index_is_only_believed_where_the_file_is_the_same(store: Store) -> None:
    for number in range(3):
        create_snapshot(store, 0, f"copy {number}")
    place = store.snapshot_path(2) / "snapshot.json"
    before = again(store).snapshots()
    value = json.loads(place.read_text())
    with open(place, "r+") as stream:  # in place: the same inode and the same length
        stream.write(json.dumps({**value, "description": "EDITED"}, indent=2, sort_keys=True))
        stream.truncate()
    os.utime(place, ns=(0, 0))
    assert again(store).snapshots()[2].description == "EDITED"
    index = store.top / "snapshots.index"
    for content in (b"", b"garbage\n[1,2\n", b"\0" * 4096, index.read_bytes()[:-40], b"[0, 1, 2, 3, {}]\n"):
        index.write_bytes(content)
        found = again(store).snapshots()
        assert [item.id for item in found] == [0, 1, 2, 3]
        assert found[1] == before[1]
    index.unlink()
    assert len(again(store).snapshots()) == 4


def test_keys_of_a_later_version_survive_a_change(store: Store) -> None:
    place = store.snapshot_path(0) / "snapshot.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "colour": "blue"}))
    fresh = again(store)
    fresh.update(replace(fresh.snapshot(0), note="n"))
    assert json.loads(place.read_text())["colour"] == "blue"
    assert again(store).snapshot(0).note == "n"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"id": 1}', "other"], ids=str)
def test_lost_metadata_is_told_from_the_subvolume(store: Store, content: bytes | str | None) -> None:
    made = child(store, 0, "with nginx", package("nginx"))
    create_snapshot(store, 1, "below")
    place = store.snapshot_path(1) / "snapshot.json"
    if content is None:
        place.unlink()
    else:
        other = (store.snapshot_path(0) / "snapshot.json").read_bytes()
        place.write_bytes(other if isinstance(content, str) else content)
    # the index remembers all of it
    assert again(store).snapshot(1) == made
    (store.top / "snapshots.index").unlink()
    found = again(store).snapshot(1)
    assert (found.id, found.parent, found.packages, found.kernel) == (1, 0, made.packages, made.kernel)
    assert (found.package_digest, found.delta) == (made.package_digest, made.delta)
    assert found.created[:13] == made.created[:13]
    assert shape(again(store)) == {0: None, 1: 0, 2: 1}
    fresh = again(store)
    (finding,) = examine(fresh)
    assert (finding.severity, finding.kind, finding.number) == ("broken", "metadata", 1)
    mend(fresh, finding)
    assert examine(again(store)) == ()
    assert json.loads(place.read_text())["parent"] == 0


def test_doctor_looks_in_every_direction_and_never_touches_what_is_foreign(store: Store) -> None:
    deployed(store, 0, good=True)
    child(store, 0, "a", {"usr/lib/modules/6.1-test/vmlinuz": "another kernel"})
    deployed(store, 1)
    child(store, 1, "b", {})
    assert examine(store) == ()
    (store.top / "mine").mkdir()
    (store.top / "snapshots/notes.txt").write_text("mine")
    subvolume.create(store.top / "backup")
    subvolume.create(store.top / "state/var/lib/machines")  # as systemd does
    foreign = {item.where for item in examine(store)}
    assert foreign == {"mine", "backup", "snapshots/notes.txt"}
    store.esp.write("/rastos/0123456789abcdef/vmlinuz", b"x")
    store.esp.write(f"{ENTRIES}/rastos-9+3.conf", b"title gone\nlinux /x\noptions rastos.snapshot=7\n")
    store.esp.write(f"{ENTRIES}/rastos-8+3.conf.new", b"half")
    store.esp.remove(f"{ENTRIES}/rastos-2+3.conf")
    (store.deployment_path(1) / "deployment.json").unlink()
    subvolume.set_read_only(store.tree(2), False)
    store.update(replace(store.snapshot(2), parent=77))
    (store.snapshot_path(50)).mkdir()
    (store.snapshot_path(50) / "snapshot.json").write_text("{}")
    found = examine(store)
    kinds = {(item.severity, item.kind) for item in found if item.severity != "foreign"}
    assert kinds == {
        ("left over", "kernel"),
        ("left over", "entry"),
        ("left over", "deployment"),
        ("broken", "entry"),
        ("broken", "record"),
        ("broken", "writable"),
        ("broken", "parent"),
        ("broken", "no tree"),
    }
    fresh = again(store)
    for item in examine(fresh):
        if item.mending:
            mend(fresh, item)
    left = examine(again(store))
    # the kernel that only the dropped deployment started is left over now, and goes with the next look
    assert {item.severity for item in left} <= {"foreign", "left over"}
    for item in left:
        if item.mending:
            mend(fresh, item)
    assert {item.where for item in examine(again(store))} == foreign
    assert (store.top / "backup").is_dir() and (store.top / "snapshots/notes.txt").read_text() == "mine"
    assert flaws(store) == []
    assert fresh.deployment(1).snapshot == 0


def test_a_subvolume_of_somebody_else_does_not_go_with_a_snapshot(store: Store) -> None:
    with create_session(store, 0, "test") as session:
        subvolume.create(session.tree / "srv/theirs")
        (session.tree / "srv/theirs/file").write_text("x")
        session.commit("nested")
    with pytest.raises(UserError, match="did not make") as caught:
        plan_delete(store, 1)
    assert "btrfs subvolume delete" in caught.value.next_step
    (finding,) = examine(store)
    assert (finding.severity, finding.where) == ("foreign", "snapshots/1/tree/srv/theirs")
    plan = plan_prune(store, parse_schedule("last=1"))
    assert [item.keep for item in plan.verdicts] == [False, True]
    assert "did not make" in plan.verdicts[1].reasons[0]


def test_a_circle_made_by_hand_is_drawn_named_and_cut(store: Store) -> None:
    child(store, 0, "a", {})
    child(store, 1, "b", {})
    store.update(replace(store.snapshot(1), parent=2))
    (finding,) = examine(store)
    assert (finding.kind, finding.number) == ("parent", 1)
    mend(store, finding)
    assert shape(again(store)) == {0: None, 1: None, 2: 1}


def test_a_store_of_a_later_version_and_a_read_only_disk(store: Store, tmp_path: Path) -> None:
    info = json.loads((store.top / "store.json").read_text())
    (store.top / "store.json").write_text(json.dumps({**info, "format": 99}))
    with pytest.raises(IntegrityError, match="format 99"):
        again(store)
    (store.top / "store.json").write_text(json.dumps(info))
    run(["mount", "-o", "remount,ro", store.top])
    try:
        with pytest.raises(HostError, match="read-only"):
            again(store)
        looked = Store.open(store.top, store.esp, writable=False)
        assert len(looked.snapshots()) == 1
    finally:
        run(["mount", "-o", "remount,rw", store.top])


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": 1}', '{"format": "1"}'])
def test_a_store_that_lost_its_own_file(store: Store, content: str | None) -> None:
    deployed(store, 0, good=True)
    create_snapshot(store, 0, "a")
    create_snapshot(store, 0, "b")
    delete(store, plan_delete(store, 2))
    place = store.top / "store.json"
    before = json.loads(place.read_text())
    if content is None:
        place.unlink()
    else:
        place.write_text(content)
    looked = Store.open(store.top, store.esp, writable=False)
    assert looked.info == before and len(looked.snapshots()) == 2
    assert [(item.kind, item.where) for item in examine(looked)] == [("store", "store.json")]
    assert create_snapshot(again(store), 0, "c").id == 3
    assert examine(again(store)) == ()
    # the copy is lost as well: the boot entries tell what a deploy needs
    place.write_text("{")
    (store.top / "store.copy.json").unlink()
    told = again(store)
    same = ("root_partuuid", "cmdline", "next_snapshot", "next_deployment")
    assert {key: told.info[key] for key in same} == {**{key: before[key] for key in same}, "next_snapshot": 4}
    deployed(told, 1)
    assert flaws(told) == []
    for entry in told.esp.list(ENTRIES):
        told.esp.remove(f"{ENTRIES}/{entry}")
    for path in (place, store.top / "store.copy.json"):
        path.unlink()
    with pytest.raises(IntegrityError, match="store.json is lost"):
        again(store)


def test_a_deployment_record_edited_into_nonsense(store: Store) -> None:
    deployed(store, 0, good=True)
    for content in ("", "[]", '{"number": 1}'):
        (store.deployment_path(1) / "deployment.json").write_text(content)
        with pytest.raises(IntegrityError):
            Store.open(store.top, store.esp, writable=False).current()
        fresh = Store.open(store.top, store.esp, writable=False)
        (finding,) = examine(fresh)
        assert (finding.kind, finding.number) == ("record", 1)
        mend(store, finding)
        assert store.deployment(1).snapshot == 0


def test_a_clock_that_went_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rastos.snapshot.copies.now", lambda: "1970-01-01T00:00:05+00:00")
    create_snapshot(store, 0, "before time")
    monkeypatch.setattr("rastos.snapshot.copies.now", lambda: "2999-01-01T00:00:00+00:00")
    create_snapshot(store, 0, "after time")
    assert [item.id for item in again(store).snapshots()] == [0, 1, 2]
    assert store.snapshot("latest").id == 2
    (finding,) = examine(store)
    assert (finding.kind, finding.severity) == ("clock", "foreign")


def test_the_history_of_a_path(store: Store) -> None:
    child(store, 0, "edited", {"etc/app.conf": "two\n"})
    child(store, 1, "the same", {"etc/other": "x"})
    child(store, 2, "gone", {"etc/app.conf": None})
    child(store, 0, "beside", {"etc/app.conf": "three\n"})
    found = path_log(store, "/etc/app.conf")
    assert [(item.snapshot, item.what) for item in found] == [
        (0, "appeared"),
        (1, "changed"),
        (3, "went"),
        (4, "changed"),
    ]
    assert [item.snapshot for item in path_log(store, "etc/app.conf", of=3)] == [0, 1, 3]
    (folder,) = [item for item in path_log(store, "/etc") if item.snapshot == 2]
    assert folder.parts == ("1 path below",)
    with pytest.raises(UserError, match="no snapshot has"):
        path_log(store, "/usr/bin/none")
    with pytest.raises(IntegrityError):
        path_log(store, "../../store.json")


def test_a_difference_names_kernel_options_services_and_command_line(store: Store) -> None:
    modules = "usr/lib/modules/6.1-test"
    with create_session(store, 0, "test") as session:
        (session.tree / modules / "config").write_text("CONFIG_MODULES=y\nCONFIG_NEW=m\n")
        (session.tree / modules / "rastos.json").write_text('{"command_line": "quiet"}')
        wants = session.tree / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True)
        (wants / "nginx.service").symlink_to("/usr/lib/systemd/system/nginx.service")
        (wants.parent / "cron.service").symlink_to("/dev/null")
        session.commit("services")
    found = difference(store, 0, 1)
    assert {item.name: (item.before, item.after) for item in found.config} == {
        "BLK_DEV_INITRD": ("y", ""),
        "RD_ZSTD": ("y", ""),
        "NEW": ("", "m"),
    }
    assert {item.name: item.after for item in found.services} == {
        "nginx.service": "enabled (multi-user.target)",
        "cron.service": "masked",
    }
    assert found.etc and found.files and found.command_line == ("", "quiet")
    assert not difference(store, 0, 1, only=["packages"])
    with pytest.raises(UserError, match="no part 'colour'"):
        difference(store, 0, 1, only=["colour"])


CHILD = """
import sys
from pathlib import Path
from rastos.host import faults
from rastos.snapshot import copy_snapshots, delete, plan_clone_tree, plan_delete
from tests.system.treehouse import tree_store
with tree_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    {operation}
"""


def _killed(folder: Path, operation: str, step: str) -> None:
    argv = [sys.executable, "-c", CHILD.format(operation=operation), str(folder), f"{step}=kill"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("step", "made"),
    [
        ("copy.copied", False),
        ("copy.described", False),
        ("copies.synced", False),
        ("copies.recorded", True),
        ("copies.named", True),
    ],
)
def test_a_cloned_tree_is_there_whole_or_not_at_all(tmp_path: Path, step: str, made: bool) -> None:
    need("mkfs.btrfs")
    format_disk(tmp_path)
    with tree_store(tmp_path, fresh=True) as store:
        first_snapshot(store)
        child(store, 0, "a", {"etc/a": "a"})
        child(store, 1, "b", {"etc/b": "b"})
    _killed(tmp_path, "copy_snapshots(store, plan_clone_tree(store, 0))", step)
    with tree_store(tmp_path) as store:
        expected = {0: None, 1: 0, 2: 1, **({3: None, 4: 3, 5: 4} if made else {})}
        assert shape(store) == expected
        assert examine(store) == () and not list(store.top.glob("journal/*"))


@pytest.mark.parametrize("step", ["delete.journaled", "delete.hidden", "delete.moved", "delete.removed"])
def test_a_delete_that_was_begun_is_finished(tmp_path: Path, step: str) -> None:
    need("mkfs.btrfs")
    format_disk(tmp_path)
    with tree_store(tmp_path, fresh=True) as store:
        first_snapshot(store)
        child(store, 0, "a", package("nginx"))
        child(store, 1, "b", package("php"))
        child(store, 2, "c", {"etc/c": "c"})
    _killed(tmp_path, "delete(store, plan_delete(store, 1, 2))", step)
    with tree_store(tmp_path) as store:
        assert shape(store) == {0: None, 3: 0}
        assert store.snapshot(3).delta.added == ("nginx", "php")
        assert examine(store) == () and not list(store.top.glob("journal/*"))
