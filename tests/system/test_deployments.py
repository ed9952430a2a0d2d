"""Deployments on a real btrfs: pending ones, trials, bad snapshots, room, what must belong together, the state contract."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.progress import Progress
from rastos.snapshot import (
    Store,
    bad_snapshots,
    boot_state,
    cancel,
    create_session,
    delete,
    deploy,
    keep,
    mark_bad,
    newest_usable,
    plan_cancel,
    plan_delete,
    plan_deploy,
    plan_keep,
    plan_rollback,
    state_report,
    written_versions,
)
from rastos.snapshot.bootentry import ENTRIES, parse_entry
from tests.system.storehouse import child, fill, first_snapshot, furnished

CONTRACT = "usr/lib/rastos/state.d/app.toml"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with furnished(tmp_path) as opened:
        first_snapshot(opened)
        yield opened


def _deploy(store: Store, number: int, **options: object) -> int:
    return deploy(store, plan_deploy(store, number, **options), Progress()).number  # type: ignore[arg-type]


def _entry(store: Store, number: int) -> str:
    return next(entry.name for entry in store.entries() if entry.number == number)


def _booted(store: Store, number: int, *, good: bool) -> None:
    """As systemd-boot(7) and systemd-bless-boot(8) would rename the entry."""
    name = f"rastos-{number}.conf" if good else f"rastos-{number}+0-3.conf"
    store.esp.rename(f"{ENTRIES}/{_entry(store, number)}", f"{ENTRIES}/{name}")


def test_pending_ones_are_shown_and_taken_back(store: Store) -> None:
    _deploy(store, 0)
    with pytest.raises(UserError, match="nothing could be started"):
        plan_cancel(store)
    _booted(store, 1, good=True)
    with pytest.raises(UserError, match="nothing is pending"):
        plan_cancel(store)
    child(store, 0, "second", {"usr/lib/modules/6.1-test/vmlinuz": "kernel two"})
    _deploy(store, 1)
    _deploy(store, 1, tries=5)
    state = boot_state(store)
    assert [item.deployment for item in state.pending] == [3, 2] and state.pending[0].tries == 5
    found = [item and item.number for item in (state.booted, state.next, state.fallback, state.good)]
    assert found == [None, 3, 2, 1]
    with pytest.raises(UserError, match="1 is not pending"):
        plan_cancel(store, 1)
    cancel(store, plan_cancel(store))
    assert [item.number for item in store.deployments()] == [1, 2]
    cancel(store, plan_cancel(store, every=True))
    assert [item.number for item in store.deployments()] == [1]
    assert len(store.esp.list("/rastos")) == 2, "the second kernel went with its deployments"
    current = store.current()
    assert current is not None and current.snapshot == 0


def test_a_trial_boots_once_and_stays_only_when_kept(store: Store) -> None:
    _deploy(store, 0)
    _booted(store, 1, good=True)
    child(store, 0, "second", {})
    _deploy(store, 1, trial=True)
    name = _entry(store, 2)
    assert name == "rastos-2+1.conf"
    options = parse_entry(store.esp.read(f"{ENTRIES}/{name}").decode())["options"].split()
    assert "systemd.mask=systemd-bless-boot.service" in options and "rastos.trial" in options
    store.esp.rename(f"{ENTRIES}/{name}", f"{ENTRIES}/rastos-2+0-1.conf")
    current = store.current()
    assert current is not None and current.number == 1, "the next boot is the one before again"
    assert [item.deployment for item in boot_state(store).tried] == [2]
    assert bad_snapshots(store) == {}, "to have booted once is no verdict"
    keep(store, plan_keep(store, 2))
    assert store.esp.list(ENTRIES) == ["rastos-1.conf", "rastos-2.conf"]
    assert "rastos.trial" not in store.esp.read(f"{ENTRIES}/rastos-2.conf").decode()
    assert store.deployment(2).trial is False
    with pytest.raises(UserError, match="good already"):
        plan_keep(store, 2)


def test_what_was_found_bad_is_not_chosen_again_unless_named(store: Store) -> None:
    _deploy(store, 0)
    _booted(store, 1, good=True)
    child(store, 0, "second", {})
    child(store, 1, "third", {})
    _deploy(store, 1)
    _booted(store, 2, good=False)
    _deploy(store, 2)  # here the bad entry goes
    assert len(store.entries()) == 2
    assert list(bad_snapshots(store)) == [1] and "used up its tries" in bad_snapshots(store)[1].why
    assert plan_rollback(store).snapshot == 0, "not 1, which was before it in time"
    mark_bad(store, store.snapshot(2), 3, "health check: no route")
    assert newest_usable(store).id == 0
    plan = plan_rollback(store, 1)
    assert plan.snapshot == 1 and "used up its tries" in plan.bad
    number = deploy(store, plan, Progress()).number
    assert 1 in bad_snapshots(store)
    _booted(store, number, good=True)
    assert list(bad_snapshots(store)) == [2], "a good boot clears it"


def test_the_etc_last_used_outlives_its_deployment(store: Store) -> None:
    _deploy(store, 0)
    _booted(store, 1, good=True)
    child(store, 0, "second", {})
    number = _deploy(store, 1)
    with pytest.raises(UserError, match="has not run before"):
        child(store, 0, "third", {})
        plan_deploy(store, 2, etc="old")
    (store.deployment_path(number) / "etc/app.conf").write_text("used with 1")
    _booted(store, number, good=False)
    for _ in range(2):
        _deploy(store, 0)
        assert number not in [item.number for item in store.deployments()]
    number = _deploy(store, 1, etc="old")
    assert (store.deployment_path(number) / "etc/app.conf").read_text() == "used with 1"
    assert (store.deployment_path(number) / "etc/rastos/deployment.json").read_text().count(str(number))


def _heavy(store: Store, size: int, mark: bytes) -> int:
    with create_session(store, 0, "test") as session:
        fill(session.tree, kernel=mark * size)
        return session.commit("heavy").id


def test_room_is_made_only_when_asked_and_never_from_what_is_needed(store: Store) -> None:
    _deploy(store, 0)
    _booted(store, 1, good=True)
    a, b, c = (_heavy(store, 12 << 20, mark) for mark in (b"a", b"b", b"c"))
    _deploy(store, a)
    _deploy(store, b)
    store.esp.write("/fill", b"x" * (12 << 20))
    with pytest.raises(HostError) as caught:
        plan_deploy(store, c)
    assert "would drop deployments 2 (snapshot 1)" in caught.value.next_step
    assert len(store.entries()) == 3, "a plan changes nothing"
    plan = plan_deploy(store, c, prune=True)
    assert [(item.deployment, item.esp) for item in plan.prune] == [(2, 12 << 20)]
    deploy(store, plan, Progress())
    assert [entry.number for entry in store.entries()] == [1, 3, 4]
    huge = _heavy(store, 30 << 20, b"d")
    with pytest.raises(HostError) as caught:
        plan_deploy(store, huge, prune=True)
    assert "is needed" in caught.value.next_step
    store.esp.remove("/fill")


def _bzimage(release: str) -> bytes:
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x400)
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x600 : 0x600 + len(text)] = text
    return bytes(head)


def test_parts_have_to_belong_together(store: Store) -> None:
    _deploy(store, 0)
    vmlinuz = "usr/lib/modules/6.1-test/vmlinuz"
    with create_session(store, 0, "test") as session:
        (session.tree / vmlinuz).write_bytes(_bzimage("6.1-other"))
        session.commit("mixed")
    with pytest.raises(IntegrityError, match="its kernel is 6.1-other, its modules are those of 6.1-test"):
        plan_deploy(store, 1)
    with create_session(store, 0, "test") as session:
        (session.tree / vmlinuz).write_bytes(_bzimage("6.1-test"))
        session.commit("right")
    assert plan_deploy(store, 2).kernel == "6.1-test"
    config = "CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n# CONFIG_BTRFS_FS is not set\n"
    gone = {"usr/lib/modules/6.1-test/config": config, "usr/lib/modules/6.1-test/modules.dep": ""}
    child(store, 0, "no btrfs", gone)
    with pytest.raises(IntegrityError, match="btrfs is neither"):
        plan_deploy(store, 3)
    store.info["cmdline"] = "quiet rootflags=subvol=elsewhere"
    with pytest.raises(IntegrityError, match="rootflags=subvol=elsewhere"):
        plan_deploy(store, 0)
    store.info["cmdline"] = "quiet"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/dev/sdb1 /data ext4 defaults 0 2", "lacks"),
        ("PARTUUID=11111111-2222-4333-8444-555555555555 /var/x btrfs subvol=none 0 0", "subvolume none"),
        ("/dev/sdb1 /data ext4 defaults,nofail 0 2", ""),
        ("/dev/sdb1 /var/data ext4 defaults 0 2", ""),
        ("# /dev/sdb1 /data ext4 defaults 0 2", ""),
    ],
)
def test_fstab_names_what_is_there(store: Store, line: str, error: str) -> None:
    _deploy(store, 0)
    (store.deployment_path(1) / "etc/fstab").write_text(line + "\n")
    child(store, 0, "second", {"etc/x": "x"})
    if not error:
        _deploy(store, 1)
        return
    with pytest.raises(IntegrityError, match=error):
        plan_deploy(store, 1)
    assert plan_deploy(store, 1, etc="new").etc == "new", "an /etc without that line can boot"


def _mounts(store: Store, number: int) -> dict[str, str]:
    place = store.deployment_path(number) / "etc/rastos/state-mounts"
    rows = [line.split("\t") for line in place.read_text().splitlines()] if place.is_file() else []
    return {target: subvolume for subvolume, target in rows}


def test_state_is_shared_reset_or_a_snapshots_own(store: Store) -> None:
    contract = '[paths]\n"var/lib/own" = "per-snapshot"\n"var/cache/app" = "reset"\n"opt" = "shared"\n'
    files = {CONTRACT: contract, "var/lib/own/data": "shipped", "var/cache/app/seed": "seed", "opt/tool": "tool"}
    child(store, 0, "second", dict(files))
    _deploy(store, 0)
    _booted(store, 1, good=True)
    assert _mounts(store, 1) == {}
    (store.top / "state/var/lib/own").mkdir()
    (store.top / "state/var/lib/own/data").write_text("of before")
    plan = plan_deploy(store, 1)
    assert [(item.path, item.source) for item in plan.state] == [
        ("opt", "the snapshot"),
        ("var/cache/app", "the snapshot"),
        ("var/lib/own", "state/var/lib/own"),
    ]
    number = deploy(store, plan, Progress()).number
    mounts = _mounts(store, number)
    assert mounts == {
        "/opt": "state/opt",
        "/var/cache/app": f"deployments/{number}/state/var%2Fcache%2Fapp",
        "/var/lib/own": "snapshots/1/state/var%2Flib%2Fown",
    }
    own, cache = store.top / mounts["/var/lib/own"], store.top / mounts["/var/cache/app"]
    assert (own / "data").read_text() == "of before" and (cache / "seed").read_text() == "seed"
    assert (store.top / "state/var/cache/app").is_dir(), "there has to be a folder to mount on"
    assert (store.top / "state/opt/tool").read_text() == "tool"
    # not booted yet: deployed again it starts from what is there now
    (store.top / "state/var/lib/own/data").write_text("of now")
    _deploy(store, 1)
    assert (own / "data").read_text() == "of now"
    (own / "data").write_text("written by 1")
    store.sync()
    (cache / "rubbish").write_text("x")
    number = _deploy(store, 1)
    assert (own / "data").read_text() == "written by 1", "its own state stays with the snapshot"
    assert not (store.top / _mounts(store, number)["/var/cache/app"] / "rubbish").exists()
    child(store, 1, "third", {"usr/x": "x"})
    shown = {item.path: (item.way, item.subvolume, item.source) for item in state_report(store, 2).paths}
    assert shown == {
        "opt": ("shared", "state/opt", ""),
        "var/cache/app": ("reset", "", "the snapshot"),
        "var/lib/own": ("per-snapshot", "snapshots/2/state/var%2Flib%2Fown", "snapshots/1/state/var%2Flib%2Fown"),
    }
    number = _deploy(store, 2)
    (store.top / _mounts(store, number)["/var/lib/own"] / "data").write_text("written by 2")
    assert (own / "data").read_text() == "written by 1"
    _deploy(store, 0)
    assert _mounts(store, store.deployments()[-1].number) == {}
    assert (store.top / "state/var/lib/own/data").read_text() == "of now"
    for _ in range(4):
        _deploy(store, 0)
    delete(store, plan_delete(store, 1))
    assert not (store.top / "snapshots/1").exists()


def test_a_path_that_cannot_be_mounted_is_refused(store: Store) -> None:
    _deploy(store, 0)
    child(store, 0, "second", {CONTRACT: '[paths]\n"opt" = "shared"\n'})
    with pytest.raises(IntegrityError, match="no folder /opt"):
        plan_deploy(store, 1)


def _stamped(store: Store, base: int, version: str, newer: str = "warn", state: str = "") -> int:
    text = f'[stamps.db]\nversion = "{version}"\nnewer = "{newer}"\n' + (f'state = "{state}"\n' if state else "")
    return child(store, base, f"db {version}", {CONTRACT: text}).id


def test_going_back_under_newer_state_is_said(store: Store) -> None:
    old = _stamped(store, 0, "9")
    assert store.snapshot(old).stamps == (("db", "9"),)
    new = _stamped(store, old, "10")
    _deploy(store, old)
    _booted(store, 1, good=True)
    number = _deploy(store, new)
    assert plan_deploy(store, old).newer == (), "10 has not run yet, so it has written nothing"
    _booted(store, number, good=False)  # it ran, even if badly
    (item,) = plan_deploy(store, old).newer
    (shown,) = state_report(store, old).stamps
    assert (shown.version, shown.written, shown.by, shown.newer) == ("9", "10", new, True)
    assert item.words() == f"db: its state was written by version 10 (snapshot {new}), this snapshot has 9"
    for _ in range(6):
        _deploy(store, 0)
    assert written_versions(store)["db"].version == "10", "known after that deployment is gone"
    strict = _stamped(store, 0, "9", "refuse")
    with pytest.raises(UserError, match="written by version 10"):
        plan_deploy(store, strict)
    assert plan_deploy(store, strict, accept_newer_state=True).newer[0].refuse


def test_what_the_state_says_itself_counts_more(store: Store) -> None:
    snapshot = _stamped(store, 0, "15", "refuse", "var/lib/db/VERSION")
    _deploy(store, snapshot)
    _booted(store, 1, good=True)
    place = store.top / "state/var/lib/db"
    place.mkdir()
    (place / "VERSION").write_text("16\n")
    with pytest.raises(UserError, match="version 16"):
        plan_deploy(store, snapshot)
    (place / "VERSION").write_text("14\n")
    assert plan_deploy(store, snapshot).newer == ()
