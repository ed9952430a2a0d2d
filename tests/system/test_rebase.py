"""Branches changed as a whole, rebased and brought up to a changed parent: by the real package engine, all or none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.cli.app import run as rastos
from rastos.errors import ExternalError, UserError
from rastos.progress import Progress
from rastos.snapshot import (
    Intent,
    NodeResult,
    Snapshot,
    Store,
    change_many,
    kept_sessions,
    plan_rebase,
    plan_recursive,
    plan_sync,
)
from tests.conftest import ROOT
from tests.system.session_workshop import Workshop, command_line, prepared, shop, text
from tests.system.storehouse import leftovers, mounted_store

__all__ = ["prepared", "shop"]

CHILD = """
import sys
from pathlib import Path
from rastos.host import faults
from tests.system.session_workshop import Workshop
from tests.system.storehouse import mounted_store
from tests.system.test_rebase import Intent, everywhere
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    everywhere(Workshop(Path(sys.argv[1])), store, Intent(("extra",)))
"""


def everywhere(shop: Workshop, store: Store, intent: Intent) -> tuple[NodeResult, ...]:
    """A change of snapshot 1 and all that stands on it."""
    source = shop.source
    return change_many(store, plan_recursive(store, 1, intent, source, Progress()), source, Progress())


def synced(shop: Workshop, store: Store, number: int, *, files: bool = False) -> tuple[NodeResult, ...]:
    source = shop.source
    return change_many(store, plan_sync(store, number, source, Progress(), files=files), source, Progress())


def has(store: Store, item: Snapshot | int) -> set[str]:
    """The packages of ours in a snapshot, by their files; the database says the same."""
    number = item if isinstance(item, int) else item.id
    tree = store.tree(number)
    found = {path.name for path in (tree / "usr/share").iterdir() if path.is_file()}
    listed = {path.name.rsplit("-", 2)[0] for path in (tree / "usr/lib/sysimage/pacman/local").glob("*-*")}
    assert found == listed
    return found


def a_branch(shop: Workshop, store: Store) -> tuple[Snapshot, Snapshot, Snapshot]:
    """base (0) → parent (1, lib) → one (2, tool and a command), other (3, a file by a command)."""
    parent = shop.made(store, 0, name="parent", install=("lib",))
    one = shop.made(store, parent.id, "sh", "-c", "cat etc/shared > etc/copy", name="one", install=("tool",))
    other = shop.made(store, parent.id, "sh", "-c", "echo other > etc/shared; rm etc/passwd", name="other")
    return parent, one, other


def test_the_same_change_over_a_branch(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
        results = everywhere(shop, store, Intent(("extra",), commands=(("sh", "-c", "echo everywhere > etc/all"),)))
        assert [(item.snapshot, item.made, item.words) for item in results] == [
            (1, 4, "+extra, 1 command"),
            (2, 5, "+extra, 1 command"),
            (3, 6, "+extra, 1 command"),
        ]
        assert [has(store, number) for number in (1, 4, 5, 6)] == [
            {"lib"},
            {"lib", "extra"},
            {"lib", "tool", "extra"},
            {"lib", "extra"},
        ]
        made = [store.snapshot(number) for number in (4, 5, 6)]
        assert [(item.name, item.parent, item.succeeds) for item in made] == [
            ("parent", 1, 1),
            ("one", 4, 2),
            ("other", 4, 3),
        ]
        assert [text(store, item.id, "etc/all") for item in made] == ["everywhere\n"] * 3
        assert made[1].intent == store.snapshot(2).intent and made[1].delta.added == ("tool",)
        assert text(store, 6, "etc/shared") == "other\n" and [store.snapshot(n).name for n in (1, 2, 3)] == ["", "", ""]
        # what has a successor is not changed again
        results = everywhere(shop, store, Intent(remove=("extra",)))
        assert [item.snapshot for item in results] == [1, 4, 5, 6]
        assert leftovers(store) == []


def test_one_that_cannot_stops_all(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
        shop.made(store, 2, name="with-extra", install=("extra",))
        source = shop.source
        plan = plan_recursive(store, 1, Intent(("rival",)), source, Progress())
        assert [bool(node.problem) for node in plan.nodes] == [False, False, False, True]
        with pytest.raises(UserError, match="1 of 4 snapshots") as caught:
            change_many(store, plan, source, Progress())
        assert "snapshot 4: " in caught.value.detail and "extra" in caught.value.detail
        failing = Intent(("extra",), commands=(("sh", "-c", "! [ -e etc/copy ]"),))
        with pytest.raises(ExternalError, match="copy of snapshot 2") as failed:
            everywhere(shop, store, failing)
        assert "snapshot 2: failed" in failed.value.detail and "snapshot 3: not begun" in failed.value.detail
        assert len(store.snapshots()) == 5 and kept_sessions(store) == () and leftovers(store) == []
        with pytest.raises(UserError, match="nothing to do"):
            plan_recursive(store, 1, Intent(("lib",)), source, Progress())


@pytest.mark.parametrize("step", ["packages-installed", "group.ready", "publish.committed"])
def test_killed_it_goes_on_all_or_none(shop: Workshop, step: str) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
    words = [sys.executable, "-c", CHILD, shop.base, f"{step}=kill"]
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    with mounted_store(shop.base) as store:
        if step == "publish.committed":
            assert [item.succeeds for item in store.snapshots()][-3:] == [1, 2, 3]
        else:
            assert len(store.snapshots()) == 4
            resumed = [item.resumed for item in everywhere(shop, store, Intent(("extra",)))]
            assert resumed == [step == "group.ready", False, False]
        assert [has(store, item) for item in store.snapshots()[-3:]] == [
            {"lib", "extra"},
            {"lib", "tool", "extra"},
            {"lib", "extra"},
        ]
        assert kept_sessions(store) == () and leftovers(store) == []


def test_children_follow_a_changed_parent_removals_included(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
        grandchild = shop.made(store, 2, name="grandchild", remove=("tool",))
        new = shop.made(
            store, 1, "sh", "-c", "echo changed > etc/shared", name="new", install=("extra",), remove=("lib",)
        )
        assert has(store, new) == {"extra"}
        results = synced(shop, store, new.id)
        assert [item.snapshot for item in results] == [2, 3, grandchild.id]
        one, other, below = (store.snapshot(item.made) for item in results)
        # lib went with the parent and comes back only where tool needs it; the command was run again on the new parent
        assert (has(store, one), text(store, one.id, "etc/copy")) == ({"extra", "lib", "tool"}, "changed\n")
        assert (has(store, other), text(store, other.id, "etc/shared")) == ({"extra"}, "other\n")
        assert has(store, below) == {"extra", "lib"} and below.delta.removed == ("tool",)
        assert [(item.parent, item.name) for item in (one, other)] == [(new.id, "one"), (new.id, "other")]
        assert (below.parent, below.name) == (one.id, "grandchild")
        with pytest.raises(UserError, match="nothing stands on"):
            synced(shop, store, new.id)
        assert leftovers(store) == []


def test_conflicts_in_packages_are_told_per_child(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
        shop.made(store, 1, name="child", install=("extra",))
        shop.made(store, 4, name="grandchild", install=("tool",))
        new = shop.made(store, 1, name="new", install=("rival",))
        source = shop.source
        plan = plan_sync(store, new.id, source, Progress())
        assert [(node.snapshot, bool(node.problem)) for node in plan.nodes] == [
            (2, False),
            (3, False),
            (4, True),
            (5, True),
        ]
        with pytest.raises(UserError, match="2 of 4") as caught:
            change_many(store, plan, source, Progress())
        assert "rival" in caught.value.detail and "snapshot 5: snapshot 4" in caught.value.detail
        assert len(store.snapshots()) == 7


def test_files_are_carried_over_and_both_of_a_conflict_kept(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        _, one, other = a_branch(shop, store)
        new = shop.made(store, 1, "sh", "-c", "echo changed > etc/shared", name="new")
        results = synced(shop, store, new.id, files=True)
        moved = {item.snapshot: item for item in results}
        assert moved[one.id].conflicts == () and moved[other.id].conflicts == ("etc/shared",)
        # not run again: the file as it was
        assert text(store, moved[one.id].made, "etc/copy") == "base\n"
        assert text(store, moved[other.id].made, "etc/shared") == "other\n"
        assert text(store, moved[other.id].made, "etc/shared.rastos-new") == "changed\n"
        assert not (store.tree(moved[other.id].made) / "etc/passwd").exists()
        assert has(store, moved[one.id].made) == {"lib", "tool"}


def test_rebase_names_what_is_wrong(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        _, one, _ = a_branch(shop, store)
        source = shop.source
        for number, onto, words in (
            (0, 1, "no parent"),
            (1, 2, "stands on it"),
            (2, 1, "already"),
            (2, None, "took the place"),
        ):
            with pytest.raises(UserError, match=words):
                plan_rebase(store, number, source, Progress(), onto=onto)
        results = change_many(store, plan_rebase(store, one.id, source, Progress(), onto=0), source, Progress())
        assert [item.snapshot for item in results] == [one.id]
        assert store.snapshot("one").parent == 0 and has(store, store.snapshot("one")) == {"lib", "tool"}


def test_lost_intent_is_read_off_the_trees(shop: Workshop) -> None:
    from dataclasses import replace

    with mounted_store(shop.base) as store:
        _, one, _ = a_branch(shop, store)
        store.update(replace(one, intent=Intent()))
        new = shop.made(store, 1, name="new", install=("extra",))
        results = synced(shop, store, new.id)
        made = store.snapshot(results[0].made)
        assert has(store, made) == {"lib", "tool", "extra"} and text(store, made.id, "etc/copy") == "base\n"


def test_the_command_line(shop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted_store(shop.base) as store:
        a_branch(shop, store)
        shop.made(store, 1, name="new", install=("extra",))

    def said(*words: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["rastos", "snapshot", *words])
        assert rastos(["snapshot", *words]) == status
        return capsys.readouterr().out

    with command_line(shop, monkeypatch):
        plan = json.loads(said("sync", "new", "--dry-run", "--json"))
        assert [(node["snapshot"], node["parent"], node["follows"]) for node in plan["nodes"]] == [
            (2, 4, False),
            (3, 4, False),
        ]
        assert "snapshot 2 → 5: +tool, 1 command" in said("rebase", "one", "--onto", "new")
        assert "snapshot 3 → 6" in said("sync", "new")
        said("sync", "new", status=1)
    assert not Path(shop.base / "top/sessions").exists()
