"""Every step of sessions and of changes of many snapshots, killed and out of space: a kept session stays, all or none."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.host import copy_file, faults
from rastos.progress import Progress
from rastos.snapshot import (
    Intent,
    NodeChange,
    NodeResult,
    PackageSource,
    Store,
    TreeChange,
    change_many,
    create_session,
    create_snapshot,
    discard_session,
    kept_sessions,
    open_session,
    subvolume,
)
from tests.conftest import ROOT, need
from tests.system.storehouse import child, first_snapshot, make_files, mounted_store

CHILD = """
import sys
from pathlib import Path
from rastos.host import faults
from tests.system.storehouse import mounted_store
from tests.system.test_session_faults import OPERATIONS
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    OPERATIONS[sys.argv[3]](store)
"""


def keeping(store: Store) -> None:
    """A session that is kept: a step that counts, one that fails, one that is undone, the commit in another's place."""
    with create_session(store, 1, "test") as session:
        session.keep("mine")
        with session.step("first", Intent(install=("first",)), undone=True):
            (session.tree / "etc/first").write_text("done")
        with pytest.raises(ValueError), session.step("second", Intent(install=("second",)), undone=True):
            (session.tree / "etc/second").write_text("half")
            raise ValueError
    with open_session(store, "mine") as session:
        session.commit("kept and committed", replace_base=True)


def dropping(store: Store) -> None:
    """Sessions that end without a commit, and snapshots made in the plain way."""
    create_snapshot(store, 0, "a copy")
    child(store, 0, "changed", {"etc/x": "x"})
    with create_session(store, 0, "test", keep="dropped"):
        pass
    discard_session(store, "dropped")


def many(store: Store) -> tuple[NodeResult, ...]:
    """A change of three snapshots in a line."""
    nodes = [
        NodeChange(1, "one", "itself", 1, False, Intent(upgrade=False), Intent(("x",))),
        NodeChange(2, "two", "itself", 1, True, Intent(), Intent()),
        NodeChange(3, "three", "itself", 2, True, Intent(), Intent()),
    ]
    return change_many(store, TreeChange("tree", tuple(nodes)), PackageSource((), store.top / "cache"), Progress())


OPERATIONS = {"keeping": keeping, "dropping": dropping, "many": many}
BY_PREFIX = {
    "session": ("keeping", "dropping"),
    "snapshot": ("dropping",),
    "publish": ("keeping", "many"),
    "group": ("many",),
}


def _steps() -> list[tuple[str, str]]:
    """Every named step of the sessions' sources, with each operation that comes by: a new one is tested unlisted."""
    text = "".join(path.read_text() for path in (ROOT / "rastos/snapshot").glob("session*.py"))
    text += "".join((ROOT / f"rastos/snapshot/{name}.py").read_text() for name in ("recursive", "rebase"))
    steps = sorted(set(re.findall(r'faults\.reached\("([a-z.]+)"\)', text)))
    found = [(step, name) for step in steps for name in BY_PREFIX[step.partition(".")[0]]]
    # these belong to a step that fails, or to a kept session
    rare = ("session.kept", "session.marked", "session.worked", "session.noted", "session.torn", "session.restored")
    return [(step, name) for step, name in found if not (name == "dropping" and step in rare)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshots 0 to 3 in a line; 2 has a name and a tag."""
    need("mkfs.btrfs", "mkfs.vfat", "mcopy")
    folder = tmp_path_factory.mktemp("sessions")
    make_files(folder)
    with mounted_store(folder, fresh=True) as store:
        first_snapshot(store)
        for number in range(3):
            child(store, number, f"number {number + 1}", {f"etc/file{number}": "x"})
        store.update(replace(store.snapshot(2), name="two", tags=("stable",), note="kept", pinned=True))
        store.update(replace(store.snapshot(1), name="one"))
    return folder


@contextmanager
def copied(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    for name in ("root.img", "esp.img"):
        copy_file(prepared / name, tmp_path / name)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def check(store: Store) -> None:
    """What must hold after any stop: whole snapshots, each name once, all of a change or none."""
    every = store.snapshots()
    assert [item.id for item in every][:4] == [0, 1, 2, 3]
    assert not [item for item in every if "lost" in item.description]
    assert all(subvolume.is_read_only(store.tree(item.id)) for item in every)
    assert [item.name for item in every if item.name].count("two") == 1
    assert store.snapshot("two").tags == ("stable",) and store.snapshot("stable").note == "kept"
    assert len({item.succeeds for item in every if item.succeeds in (2, 3)}) in (0, 2), "a part of a change is visible"
    assert list(store.top.glob("snapshots/.new-*")) == [] and store.journal.open_intents() == []
    assert [path.name for path in (store.top / "sessions").iterdir()] == [item.key for item in kept_sessions(store)]
    for record in kept_sessions(store):
        if not record.many:
            tree = store.top / "sessions" / record.key / "tree"
            done = (tree / "etc/first").exists()
            assert record.doing == "" and not (tree / "etc/second").exists()
            assert done == bool(record.intent.install)


def again(store: Store, operation: str) -> None:
    """The same once more, from wherever it stands, comes to its end."""
    for record in kept_sessions(store):
        if not record.many:
            discard_session(store, record.name)
    done = any(item.succeeds == 1 for item in store.snapshots())  # its commit record was there: recovery finished it
    if not (operation == "many" and done):
        OPERATIONS[operation](store)
    if operation == "many":
        made = [item for item in store.snapshots() if item.succeeds is not None]
        assert [(item.succeeds, item.name) for item in made] == [(1, "one"), (2, "two"), (3, "")]
        assert [item.parent for item in made] == [1, made[0].id, made[1].id]
        assert (
            made[1].pinned
            and made[1].note == "kept"
            and (store.snapshot(2).name, store.snapshot(2).pinned) == ("", False)
        )
    assert kept_sessions(store) == ()


def test_there_are_steps_to_stop_at() -> None:
    assert len(_steps()) >= 20


@pytest.mark.parametrize(("step", "operation"), _steps())
def test_killed_anywhere(prepared: Path, tmp_path: Path, step: str, operation: str) -> None:
    with copied(prepared, tmp_path) as place:
        words = [sys.executable, "-c", CHILD, place, f"{step}=kill", operation]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with mounted_store(place) as store:
            check(store)
            again(store, operation)
            check(store)


@pytest.mark.parametrize(("step", "operation"), _steps())
def test_out_of_space_anywhere(prepared: Path, tmp_path: Path, step: str, operation: str) -> None:
    with copied(prepared, tmp_path) as place:
        with mounted_store(place) as store:
            faults.arm(f"{step}=enospc")
            try:
                with pytest.raises(OSError, match="No space"):
                    OPERATIONS[operation](store)
            finally:
                faults.disarm()
        with mounted_store(place) as store:
            check(store)
            again(store, operation)


def _interrupt(step: str) -> None:
    if step == "group.node":
        raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_change_of_many_goes_on_where_it_ended(
    prepared: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copied(prepared, tmp_path) as place:
        if how == "kill":
            words = [sys.executable, "-c", CHILD, place, "group.node=kill", "many"]
            assert subprocess.run(words, cwd=ROOT).returncode == -signal.SIGKILL
        else:
            with mounted_store(place) as store, monkeypatch.context() as patch:
                patch.setattr(faults, "reached", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    many(store)
        with mounted_store(place) as store:
            assert [(item.name, item.many) for item in kept_sessions(store)] == [("tree-1", True)]
            assert len(store.snapshots()) == 4
            with pytest.raises(UserError, match="many snapshots"), open_session(store, "tree-1"):
                pass
            assert [result.resumed for result in many(store)] == [True, False, False]
            assert kept_sessions(store) == ()
