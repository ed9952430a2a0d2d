"""/etc on a real btrfs: modes, owners, attributes, types, deletions, links, conflicts settled, files brought back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.progress import Progress
from rastos.snapshot import (
    Store,
    change_etc,
    create_session,
    deploy,
    etc_state,
    plan_deploy,
    plan_push,
    plan_resolve,
    plan_restore,
    text_difference,
)
from rastos.snapshot.etc_apply import open_conflicts
from tests.system.storehouse import child, fill, first_snapshot, furnished

LINES = "".join(f"line {number}\n" for number in range(9))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with furnished(tmp_path) as opened:
        yield opened


def _deploy(store: Store, number: int, **options: object) -> Path:
    made = deploy(store, plan_deploy(store, number, **options), Progress())  # type: ignore[arg-type]
    return store.deployment_path(made.number) / "etc"


def _base(store: Store) -> Path:
    """Snapshot 0 with an /etc of all kinds, deployed."""
    with create_session(store, None, "test") as session:
        fill(session.tree)
        etc = session.tree / "etc"
        for name in ("mode", "content", "owner", "tagged", "gone", "gone-edited", "kind", "text", "clash"):
            (etc / name).write_text(LINES)
        (etc / "link").symlink_to("content")
        for name in ("folder.d", "dropped.d", "linked.d", "emptied.d"):
            (etc / name).mkdir()
            (etc / name / "one").write_text("1\n")
        session.commit("base")
    return _deploy(store, 0)


def _edit(etc: Path, text: bytes = b"mine") -> None:
    (etc / "content").write_text(LINES.replace("line 0", "LINE 0"))
    os.chmod(etc / "mode", 0o600)
    os.setxattr(etc / "tagged", "user.mine", text)


def test_every_aspect_goes_its_own_way(store: Store) -> None:
    etc = _base(store)
    _edit(etc)
    with create_session(store, 0, "test") as session:
        new = session.tree / "etc"
        (new / "mode").write_text("new\n")
        os.chmod(new / "content", 0o640)
        os.chown(new / "owner", 7, 8)
        os.setxattr(new / "tagged", "user.theirs", b"t")
        (new / "gone").unlink()
        (new / "link").unlink()
        (new / "link").symlink_to("mode")
        (new / "kind").unlink()
        (new / "kind").mkdir(mode=0o750)
        (new / "kind/in").write_text("in")
        (new / "emptied.d/one").unlink()
        (new / "emptied.d").rmdir()
        os.mkfifo(new / "pipe")
        session.commit("second")
    (etc / "emptied.d/mine").write_text("mine")
    plan = plan_deploy(store, 1)
    assert plan.merge.conflicts == ("tagged",)
    after = _deploy(store, 1)
    mode = (after / "mode").stat()
    assert (after / "mode").read_text() == "new\n" and stat.S_IMODE(mode.st_mode) == 0o600
    assert "LINE 0" in (after / "content").read_text()
    assert stat.S_IMODE((after / "content").stat().st_mode) == 0o640
    assert ((after / "owner").stat().st_uid, (after / "owner").stat().st_gid) == (7, 8)
    assert os.listxattr(after / "tagged") == ["user.mine"]
    assert os.listxattr(after / "tagged.rastos-new") == ["user.theirs"]
    assert not (after / "gone").exists() and os.readlink(after / "link") == "mode"
    assert (after / "kind").is_dir() and (after / "kind/in").read_text() == "in"
    assert stat.S_IMODE((after / "kind").stat().st_mode) == 0o750
    assert [path.name for path in (after / "emptied.d").iterdir()] == ["mine"]
    assert stat.S_ISFIFO((after / "pipe").stat().st_mode)
    assert (etc / "gone").exists(), "the deployment before keeps its own"


def test_texts_merge_and_conflicts_are_settled(store: Store) -> None:
    etc = _base(store)
    (etc / "text").write_text(LINES.replace("line 0", "mine 0"))
    os.chmod(etc / "text", 0o600)
    (etc / "clash").write_text(LINES.replace("line 0", "mine 0"))
    (etc / "gone").unlink()
    child(
        store,
        0,
        "second",
        {
            "etc/text": LINES.replace("line 8", "theirs 8"),
            "etc/clash": LINES.replace("line 0", "theirs 0"),
            "etc/gone": "back\n",
            "etc/gone-edited": None,
        },
    )
    (etc / "gone-edited").write_text("mine")
    after = _deploy(store, 1)
    assert (after / "text").read_text() == LINES.replace("line 0", "mine 0").replace("line 8", "theirs 8")
    assert stat.S_IMODE((after / "text").stat().st_mode) == 0o600
    assert (after / "gone-edited").read_text() == "mine"
    assert not (after / "gone").exists() and (after / "gone.rastos-new").read_text() == "back\n"
    assert [(item.path, item.base, item.new) for item in open_conflicts(after)] == [("clash", 0, 1), ("gone", 0, 1)]
    # an open conflict goes along to the next deployment
    child(store, 1, "third", {"etc/other": "x"})
    after = _deploy(store, 2)
    assert [item.path for item in etc_state(store).conflicts] == ["clash", "gone"]
    with pytest.raises(UserError, match="1 places"):
        plan_resolve(store, "/etc/clash", "merged")
    with pytest.raises(UserError, match="no open conflict"):
        plan_resolve(store, "/etc/text", "ours")
    change_etc(store, plan_resolve(store, "gone", "theirs"))
    (after / "clash").write_text(LINES.replace("line 8", "mine 8"))
    change_etc(store, plan_resolve(store, "clash.rastos-new", "merged"))
    assert (after / "clash").read_text() == LINES.replace("line 0", "theirs 0").replace("line 8", "mine 8")
    assert (after / "gone").read_text() == "back\n"
    assert not list(after.glob("*.rastos-*")) and not (after / "rastos/etc-conflicts.json").exists()


def test_nothing_is_written_through_links(store: Store, tmp_path: Path) -> None:
    """An absolute link in an image's /etc leads, seen from the host, into the host."""
    etc = _base(store)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one").write_text("host")
    (etc / "linked.d/one").unlink()
    (etc / "linked.d").rmdir()
    (etc / "linked.d").symlink_to(outside)
    (etc / "dropped.d/one").unlink()
    (etc / "dropped.d").rmdir()
    (etc / "rastos/etc-policy.toml").unlink(missing_ok=True)
    child(store, 0, "second", {"etc/linked.d/two": "2", "etc/dropped.d/two": "2", "etc/linked.d/one": "new"})
    after = _deploy(store, 1)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"one": "host"}
    assert (after / "linked.d").is_symlink()
    assert (after / "linked.d.rastos-new/two").read_text() == "2"
    assert (after / "dropped.d/two").read_text() == "2", "a new file makes its folder again"
    with pytest.raises(UserError, match="is a link"):
        plan_resolve(store, "linked.d/two", "theirs")
    with pytest.raises(UserError, match="is a link"):
        plan_restore(store, "linked.d/one")
    change_etc(store, plan_resolve(store, "linked.d/two", "ours"))
    change_etc(store, plan_resolve(store, "linked.d/one", "ours"))
    assert not (after / "linked.d.rastos-new").exists()
    assert etc_state(store).conflicts == ()


def test_a_path_is_brought_back_and_given_to_all(store: Store) -> None:
    first = _base(store)
    _edit(first)
    second = _deploy(store, 0)
    (second / "folder.d/two").write_text("2")
    (second / "content").write_text("new")
    state = etc_state(store)
    found = {item.path: (item.what, item.aspects) for item in state.differences}
    assert found == {
        "content": ("changed", ("content",)),
        "folder.d/two": ("added", ()),
        "mode": ("changed", ("mode",)),
        "tagged": ("changed", ("attributes",)),
    }
    assert "+new" in text_difference(store, state, "content")
    change_etc(store, plan_restore(store, "/etc/content"))
    assert (second / "content").read_text() == LINES
    change_etc(store, plan_restore(store, "content", origin=1))
    assert "LINE 0" in (second / "content").read_text()
    change_etc(store, plan_restore(store, "folder.d"))
    assert [path.name for path in (second / "folder.d").iterdir()] == ["one"]
    change_etc(store, plan_restore(store, "tagged"))
    assert os.listxattr(second / "tagged") == []
    (second / "key").write_text("secret")
    os.chmod(second / "key", 0o600)
    change_etc(store, plan_push(store, "key"))
    assert (first / "key").read_text() == "secret" and stat.S_IMODE((first / "key").stat().st_mode) == 0o600
    (second / "key").unlink()
    change_etc(store, plan_push(store, "key"))
    assert not (first / "key").exists()
    for path in ("../../x", "/usr/x", "", "/etc"):
        with pytest.raises(UserError, match="below /etc"):
            plan_restore(store, path)


def test_a_policy_decides_and_may_ask(store: Store) -> None:
    etc = _base(store)
    (etc / "rastos").mkdir(exist_ok=True)
    (etc / "rastos/etc-policy.toml").write_text('[paths]\n"clash" = "ask"\n"content" = "ours"\n"mode" = "theirs"\n')
    for name in ("clash", "content", "mode"):
        (etc / name).write_text("mine")
    child(store, 0, "second", {f"etc/{name}": "theirs" for name in ("clash", "content", "mode")})
    with pytest.raises(UserError, match="decide: clash"):
        plan_deploy(store, 1)
    after = _deploy(store, 1, decided={"clash": "theirs"})
    assert [(after / name).read_text() for name in ("clash", "content", "mode")] == ["theirs", "mine", "theirs"]


def test_what_changes_while_deploying_is_noticed(store: Store) -> None:
    etc = _base(store)
    child(store, 0, "second", {"etc/clash": "theirs", "etc/content": "theirs"})
    plan = plan_deploy(store, 1)
    (etc / "late").write_text("late")
    made = deploy(store, plan, Progress())
    after = store.deployment_path(made.number) / "etc"
    assert (after / "late").read_text() == "late" and (after / "clash").read_text() == "theirs"
    child(store, 1, "third", {"etc/clash": "third"})
    plan = plan_deploy(store, 2)
    (after / "clash").write_text("mine")
    with pytest.raises(UserError, match="clash can't be merged"):
        deploy(store, plan, Progress())
    reopened = Store.open(store.top, store.esp, writable=True)
    assert len(reopened.entries()) == 2
    _deploy(reopened, 2)
    assert [item.path for item in etc_state(reopened).conflicts] == ["clash"]


def test_first_snapshot_has_no_conflicts(store: Store) -> None:
    first_snapshot(store)
    _deploy(store, 0)
    assert etc_state(store).differences == ()
