"""The store on a real btrfs: sessions, deploy, /etc, rollback, delete, retention."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.kernel import plan_initramfs
from rastos.progress import Progress
from rastos.snapshot import (
    Store,
    create_session,
    create_snapshot,
    delete,
    deploy,
    difference,
    plan_delete,
    plan_deploy,
    plan_rollback,
)
from rastos.snapshot.bootentry import ENTRIES, parse_entry
from tests.system.storehouse import MACHINE_ID, child, fill, first_snapshot, flaws, furnished


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with furnished(tmp_path) as opened:
        yield opened


def _deploy(store: Store, number: int, etc: str = "merge") -> int:
    return deploy(store, plan_deploy(store, number, etc=etc), Progress()).number


def _etc(store: Store, name: str) -> Path:
    current = store.current()
    assert current is not None
    return store.deployment_path(current.number) / "etc" / name


def test_a_snapshot_is_read_only_and_remembers_its_parent(store: Store) -> None:
    first = first_snapshot(store)
    second = child(store, first.id, "more", {"usr/bin/tool": "x", "usr/lib/sysimage/pacman/local/tool-2-1/desc": ""})
    assert (first.id, second.id, second.parent) == (0, 1, 0)
    assert second.delta.added == ("tool",)
    with pytest.raises(OSError, match="Read-only"):
        (store.tree(1) / "usr/bin/tool").write_text("y")
    assert difference(store, 0, 1).files == (("added", "usr/bin"),)
    _deploy(store, 0)


def test_a_session_left_without_commit_leaves_nothing(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    with pytest.raises(RuntimeError), create_session(store, 0, "test") as session:
        (session.tree / "etc/app.conf").write_text("half")
        raise RuntimeError
    assert len(store.snapshots()) == 1
    assert (store.tree(0) / "etc/app.conf").read_text() == "one\n"


def test_ids_are_never_given_twice(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    assert create_snapshot(store, 0, "a").id == 1
    delete(store, plan_delete(store, 1))
    assert create_snapshot(store, 0, "b").id == 2
    reopened = Store.open(store.top, store.esp, writable=True)
    reopened.info["next_snapshot"] = 0  # where the counter is lost, what is on disk counts
    assert create_snapshot(reopened, 0, "c").id == 3


def test_deploy_merges_what_both_sides_changed(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    _etc(store, "machine-id").write_text(MACHINE_ID)
    _etc(store, "mine.conf").write_text("mine")
    _etc(store, "app.conf").write_text("edited")
    with open(_etc(store, "passwd"), "a") as stream:
        stream.write("me:x:1000:1000::/home/me:/bin/sh\n")
    child(
        store,
        0,
        "second",
        {
            "etc/app.conf": "two\n",
            "etc/new.d/x.conf": "new",
            "etc/passwd": "root:x:0:0::/root:/bin/bash\n_daemon:x:99:99::/:/bin/false\n",
            "etc/hostname": "renamed\n",
        },
    )
    plan = plan_deploy(store, 1)
    assert plan.merge.conflicts == ("app.conf",)
    assert plan.merge.entries == ("passwd",)
    made = deploy(store, plan, Progress())
    assert made.conflicts == ("app.conf",)
    assert _etc(store, "machine-id").read_text() == MACHINE_ID
    assert _etc(store, "mine.conf").read_text() == "mine"
    assert _etc(store, "new.d/x.conf").read_text() == "new"
    assert _etc(store, "hostname").read_text() == "renamed\n"
    assert _etc(store, "app.conf").read_text() == "edited"
    assert _etc(store, "app.conf.rastos-new").read_text() == "two\n"
    people = {row.split(":")[0]: row for row in _etc(store, "passwd").read_text().splitlines()}
    assert set(people) == {"root", "me", "_daemon"}
    assert people["root"].endswith("/bin/bash")
    assert (store.deployment_path(1) / "etc/app.conf").read_text() == "edited"
    assert flaws(store) == []


def test_rollback_goes_to_the_one_before_and_keeps_the_state(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    with pytest.raises(UserError, match="nothing to go back to"):
        plan_rollback(store)
    (store.top / "state/var/lib/app/data").write_text("written by the system")
    child(store, 0, "second", {"etc/new.conf": "new", "var/lib/other/data": "shipped later"})
    _deploy(store, 1)
    assert (store.top / "state/var/lib/app/data").read_text() == "written by the system"
    assert (store.top / "state/var/lib/other/data").read_text() == "shipped later"
    _etc(store, "after.conf").write_text("made after")
    assert deploy(store, plan_rollback(store), Progress()).snapshot == 0
    assert not _etc(store, "new.conf").exists()
    assert _etc(store, "after.conf").read_text() == "made after"
    assert (store.top / "state/var/lib/app/data").read_text() == "written by the system"
    # with a newer deployment there, it is the one before in time that counts
    assert plan_rollback(store).snapshot == 1


@pytest.mark.parametrize(("etc", "expected"), [("current", True), ("new", False), ("old", False)])
def test_etc_can_be_chosen(store: Store, etc: str, expected: bool) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    _etc(store, "machine-id").write_text(MACHINE_ID)
    child(store, 0, "second", {})
    _deploy(store, 1)
    _etc(store, "late.conf").write_text("x")
    _deploy(store, 0, etc)
    assert _etc(store, "late.conf").exists() is expected
    assert _etc(store, "machine-id").read_text() == MACHINE_ID


def test_what_cannot_boot_is_not_deployed(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    child(store, 0, "no init", {"usr/lib/rastos/init": None})
    with pytest.raises(IntegrityError, match="init"):
        plan_deploy(store, 1)
    child(store, 0, "no kernel", {"usr/lib/modules/6.1-test/vmlinuz": None})
    with pytest.raises(IntegrityError, match="no kernel"):
        plan_deploy(store, 2)
    assert len(store.entries()) == 1


def test_a_full_esp_stops_before_anything_changes(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    with create_session(store, 0, "test") as session:
        fill(session.tree, kernel=os.urandom(39 << 20))
        session.commit("huge kernel")
    before = store.esp.list(ENTRIES)
    with pytest.raises(HostError, match="ESP"):
        plan_deploy(store, 1)
    assert store.esp.list(ENTRIES) == before
    assert flaws(store) == []


def _booted(store: Store) -> tuple[str, bool]:
    """The release that boots next, and whether its entry starts that kernel with an initramfs of it."""
    current = store.current()
    assert current is not None
    name = next(entry.name for entry in store.entries() if entry.number == current.number)
    values = parse_entry(store.esp.read(f"{ENTRIES}/{name}").decode())
    tree = store.tree(current.snapshot)
    plan = plan_initramfs(tree, current.kernel)
    assert plan is not None
    kernel = (tree / "usr/lib/modules" / current.kernel / "vmlinuz").read_bytes()
    return current.kernel, store.esp.read(values["linux"]) == kernel and plan.key[:16] in values["initrd"]


def test_of_two_kernels_the_one_booted_so_far_stays(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    with create_session(store, 0, "test") as session:
        fill(session.tree, release="6.12-other", kernel=b"kernel two")
        session.commit("with another kernel")
    _deploy(store, 1)
    assert _booted(store) == ("6.1-test", True), "a kernel beside it is not booted by the way"
    deploy(store, plan_deploy(store, 1, kernel="6.12-other"), Progress())
    assert _booted(store) == ("6.12-other", True)
    _deploy(store, 1)
    assert _booted(store) == ("6.12-other", True), "what was chosen stays chosen"
    _deploy(store, 0)
    assert _booted(store) == ("6.1-test", True)
    with pytest.raises(UserError, match="no kernel '6.13'"):
        plan_deploy(store, 1, kernel="6.13")


def test_retention_keeps_the_newest_and_the_last_good_with_their_kernels(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    store.esp.rename(f"{ENTRIES}/rastos-1+3.conf", f"{ENTRIES}/rastos-1.conf")  # as systemd-bless-boot(8) does
    for count in range(6):
        with create_session(store, 0, "test") as session:
            fill(session.tree, kernel=f"kernel {count}".encode())
            session.commit(f"kernel {count}")
        _deploy(store, count + 1)
    assert [entry.number for entry in store.entries()] == [1, 4, 5, 6, 7]
    assert [item.number for item in store.deployments()] == [1, 4, 5, 6, 7]
    assert len(store.esp.list("/rastos")) == 6  # five kernels, one initramfs: their modules are the same
    assert len(store.snapshots()) == 7
    assert flaws(store) == []


def test_delete_refuses_what_boots_and_gives_children_a_parent(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    with pytest.raises(UserError, match="boots next"):
        plan_delete(store, 0)
    child(store, 0, "a", {"etc/a": "a"})
    child(store, 1, "b", {"etc/b": "b"})
    delete(store, plan_delete(store, 1))
    assert [item.id for item in store.snapshots()] == [0, 2]
    assert store.snapshot(2).parent == 0
    _deploy(store, 2)
    store.esp.rename(f"{ENTRIES}/rastos-1+3.conf", f"{ENTRIES}/rastos-1.conf")
    with pytest.raises(UserError, match="boot well"):
        plan_delete(store, 0)


def test_references(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    create_snapshot(store, 0, "x", name="stable")
    assert store.snapshot("stable").id == store.snapshot("latest").id == store.snapshot(1).id == 1
    with pytest.raises(UserError, match="no snapshot 'nope'") as caught:
        store.snapshot("nope")
    assert "stable" in caught.value.next_step
    with pytest.raises(UserError, match="can't be used"):
        create_snapshot(store, 0, "y", name="stable")


def test_lost_metadata_is_shown_as_far_as_the_tree_tells(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    (store.snapshot_path(0) / "snapshot.json").write_text("{")
    assert store.snapshot(0).kernel == "6.1-test"
