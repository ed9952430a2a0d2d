"""The commands that look at the tree and shape it, as they are typed, on a real btrfs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.snapshot import Store
from tests.commands import Typed, typing_at
from tests.system.storehouse import child
from tests.system.treehouse import deployed, planted


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with planted(tmp_path) as opened:
        yield opened


@pytest.fixture
def typed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    return typing_at(store, tmp_path, monkeypatch, capfd)


def test_a_tree_is_made_looked_at_and_cut_back(typed: Typed, store: Store) -> None:
    deployed(store, 0, good=True)
    assert typed("create", "0", "-d", "before", "--tag", "checkpoint") == "snapshot 1, child of 0\n"
    assert typed("branch", "0", "web", "--dry-run") == "would copy snapshot 0 as a child of 0\n"
    assert typed("branch", "0", "web") == "snapshot 2, child of 0\n"
    assert typed("clone", "web", "--name", "spare") == "snapshot 3, root of a new tree, copy of 2\n"
    assert typed("clone", "web", "--beside", "--under", "0", status=2)
    assert "snapshot 5, child of 4, copy of 1" in typed("clone-tree", "0")
    assert "a root, is now a child of 2" in typed("reparent", "spare", "web")
    assert "one of its descendants" in typed("reparent", "web", "spare", status=1)
    assert typed("tag", "web", "+stable", "old").strip().endswith("#stable #old")
    assert typed("tag", "web", "-old").strip().endswith("#stable")
    assert "no tag 'old'" in typed("tag", "web", "-old", status=1)
    typed("describe", "web", "the  web\nserver", "--note", "ask Ann")
    typed("pin", "web")
    assert "pinned" in typed("delete", "web", status=1)
    assert typed("delete", "web", "--dry-run", status=1)
    typed("unpin", "web")
    lines = typed("tree").splitlines()
    assert lines[0].startswith("● 0  first") and "boots next  last good  deployment 1" in lines[0]
    assert "├─○ 1 #checkpoint  before" in lines[1]
    assert lines[2].startswith("○ 2 web #stable  the web server")
    assert [item["id"] for item in typed("list", "--search", "ANN", "--json")] == [2]
    assert [item["id"] for item in typed("list", "--tag", "checkpoint", "--json")] == [1, 5]
    nodes = {item["id"]: item for item in typed("tree", "--json", "--sizes")}
    assert nodes[0]["marks"] == ["next", "good"] and nodes[2]["children"] == [3]
    assert set(nodes[1]["sizes"]) == {"total", "new", "exclusive", "shared"}
    assert [item["id"] for item in typed("tree", "web", "--json")] == [2, 3]
    shown = typed("show", "web")
    assert "ask Ann" in shown and "children  3" in shown
    assert "becomes a child of 0" in typed("delete", "web")
    assert typed("delete", "4", "--tree", "--json")["snapshots"] == [4, 5, 6]
    assert [item["id"] for item in typed("list", "--json")] == [0, 1, 3]


def test_prune_shows_before_it_does(typed: Typed, store: Store, tmp_path: Path) -> None:
    deployed(store, 0, good=True)
    for _ in range(4):
        typed("create", "latest")
    assert "no schedule" in typed("prune", status=1)
    assert "did you mean daily" in typed("prune", "--keep", "dayly=1", status=1)
    plan = typed("prune", "--keep", "last=1", "--dry-run")
    assert "drop  1" in plan and "last 1 of 1" in plan and "it boots next" in plan
    assert len(store.numbers()) == 5
    (tmp_path / "rastos.toml").write_text('retention = "last=2"\n')
    assert typed("prune", "--json")["deleted"] == [1, 2]
    assert "deleted 0 of 3" in typed("prune")


def test_diff_log_and_doctor(typed: Typed, store: Store) -> None:
    child(store, 0, "more", {"etc/app.conf": "two\n", "usr/lib/sysimage/pacman/local/nginx-1-1/desc": ""})
    out = typed("diff", "0", "1")
    assert "packages (1)\n  + nginx 1-1" in out and "/etc (1)\n  ~ /etc/app.conf" in out
    assert "no difference" in typed("diff", "0", "1", "--only", "kernel,files")
    assert typed("diff", "0", "--json", "--packages-only")["packages"][0]["name"] == "nginx"
    assert typed("log", "/etc/app.conf").splitlines()[1].split()[:1] == ["1"]
    assert "the store is sound" in typed("doctor")
    (store.snapshot_path(1) / "snapshot.json").write_text("{")
    assert "told anew" in typed("doctor", status=1)
    assert "mended: snapshots/1" in typed("doctor", "--fix")
    assert typed("doctor", "--json")["sound"] is True


def test_words_of_other_tools_are_answered(typed: Typed) -> None:
    assert "Here that is 'shell'" in typed("chroot", "1", status=2)
    assert "Did you mean 'tree'" in typed("tre", status=2)
    assert "there is no snapshot 'nope'" in typed("show", "nope", status=1)


def test_many_snapshots_are_listed_without_reading_their_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from rastos.snapshot import create_snapshot

    for number in range(20):
        create_snapshot(store, 0, f"copy {number}")
    read: list[Path] = []
    from rastos.snapshot import store as module

    real = module.read_json
    monkeypatch.setattr(module, "read_json", lambda place: read.append(place) or real(place))  # type: ignore[func-returns-value]
    fresh = Store.open(store.top, store.esp, writable=True)
    read.clear()
    assert len(fresh.snapshots()) == 21
    assert not read
    read.clear()
    create_snapshot(Store.open(store.top, store.esp, writable=True), 3, "one more")
    assert {path.parent.name for path in read if path.name == "snapshot.json"} == {"3"}
