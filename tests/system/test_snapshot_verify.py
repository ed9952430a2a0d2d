"""Manifests: what they notice, what the quick check notices, and repair from every source, killed at each step."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import digest_of_leaves, exact_manifest
from rastos.progress import Progress
from rastos.snapshot import (
    Signer,
    SnapshotCheck,
    Store,
    Trust,
    check_snapshot,
    create_session,
    plan_deploy,
    plan_repair,
    plan_send,
    quick_problems,
    record,
    recorded_digest,
    repair,
    replace_by_stream,
    require_unchanged,
    send,
    sources_of,
)
from rastos.snapshot.subvolume import identities, set_read_only
from tests.conftest import ROOT, need
from tests.system.misbehaving import Keys
from tests.system.storehouse import child, first_snapshot, leftovers, make_files, mounted_store

ANY = Trust(unsigned=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """0: the usual tree and some odd things; 1: its child."""
    need("mkfs.btrfs", "mkfs.vfat", "btrfs")
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True) as opened:
        _fill(opened)
        yield opened
        assert not [item for item in leftovers(opened) if "/" in item]


def _fill(store: Store) -> None:
    first_snapshot(store)
    with create_session(store, 0, "test") as session:
        root = session.tree
        (root / "usr/lib/sysimage/pacman/local/base-1.0-1/desc").write_text("%NAME%\nbase\n\n%VERSION%\n1.0-1\n")
        (root / "usr/lib/big").write_bytes(b"0123456789" * 5000)
        os.link(root / "usr/lib/big", root / "usr/lib/second")
        os.symlink("a name with spaces é", root / "usr/lib/link")
        os.mkfifo(root / "usr/lib/pipe")
        (root / "usr/lib/kept/deep").mkdir(parents=True)
        (root / "usr/lib/kept/deep/file").write_text("deep")
        os.chown(root / "usr/lib/kept", 7, 8)
        os.setxattr(root / "usr/lib/kept", "user.mark", b"1 2")
        session.commit("odd")


def _damage(store: Store, number: int) -> None:
    """What nobody may do: write into a snapshot."""
    tree = store.tree(number)
    set_read_only(tree, False)
    (tree / "usr/lib/big").write_bytes(b"0123456789" * 4999 + b"012345678X")
    (tree / "etc/app.conf").unlink()
    (tree / "usr/lib/new").write_text("planted")
    (tree / "usr/lib/link").unlink()
    (tree / "usr/lib/link").mkdir()
    (tree / "usr/lib/pipe").unlink()
    os.chmod(tree / "usr/lib/rastos/init", 0o4755)
    shutil.rmtree(tree / "usr/lib/kept")
    set_read_only(tree, True)


def _check(store: Store, number: int = 1, trust: Trust = ANY) -> SnapshotCheck:
    return check_snapshot(store, number, trust, Progress())


def test_every_kind_of_damage_is_named(store: Store) -> None:
    made = record(store, 1, Signer(), Progress())
    assert _check(store).sound and check_snapshot(store, 1, ANY, Progress(), quick=True).sound
    assert recorded_digest(store, 1) == made.digest == digest_of_leaves(exact_manifest(store.tree(1)))
    _damage(store, 1)
    found = _check(store)
    assert {(item.path, item.what, item.detail) for item in found.damage} == {
        ("usr/lib/big", "changed", "content"),
        ("usr/lib/second", "changed", "content"),
        ("etc/app.conf", "missing", ""),
        ("usr/lib/new", "added", ""),
        ("usr/lib/link", "changed", "type, mode, content"),
        ("usr/lib/pipe", "missing", ""),
        ("usr/lib/rastos/init", "changed", "mode"),
        ("usr/lib/kept", "missing", ""),
        ("usr/lib/kept/deep", "missing", ""),
        ("usr/lib/kept/deep/file", "missing", ""),
    }
    assert found.notes == ("its tree was written to after it was recorded",)
    with pytest.raises(IntegrityError, match="not what it was"):
        require_unchanged(store, 1)
    with pytest.raises(IntegrityError, match="not what it was"):
        plan_deploy(store, 1)
    assert quick_problems(store, 0) == ()


def test_the_quick_check_sees_what_leaves_no_other_trace(store: Store) -> None:
    record(store, 1, Signer(), Progress())
    tree = store.tree(1)
    for _ in range(2):
        store.sync()
        assert quick_problems(store, 1) == ()
    set_read_only(tree, False)
    assert quick_problems(store, 1) == ("its tree is writable",)
    place = tree / "etc/app.conf"
    was = place.stat()
    with open(place, "r+b") as stream:  # the same size, and the time put back
        stream.write(b"two\n")
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
    set_read_only(tree, True)
    store.sync()
    assert quick_problems(store, 1) == ("its tree was written to after it was recorded",)
    assert [item.path for item in _check(store).damage] == ["etc/app.conf"]
    shutil.rmtree(store.snapshot_path(0) / "none", ignore_errors=True)
    assert check_snapshot(store, 0, ANY, Progress(), quick=True).sound  # never recorded: nothing to hold it to


def test_a_child_is_recorded_by_reading_what_it_changed(store: Store) -> None:
    first = record(store, 0, Signer(), Progress())
    second = record(store, 1, Signer(), Progress())
    assert first.reused == 0 and second.reused >= 10
    assert second.digest == digest_of_leaves(exact_manifest(store.tree(1)))
    child(store, 1, "untouched", {})
    copy = record(store, 2, Signer(), Progress())
    assert (copy.reused, copy.digest) == (copy.paths, second.digest) and _check(store, 2).sound
    with create_session(store, 1, "test") as session:
        place = session.tree / "etc/app.conf"
        was = place.stat()
        place.write_text("six\n")  # the same size and time as its parent's
        os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
        session.commit("sly")
    assert record(store, 3, Signer(), Progress()).digest == digest_of_leaves(exact_manifest(store.tree(3)))
    with create_session(store, 1, "test") as session:
        os.chmod(session.tree, 0o711)
        session.commit("the root alone")
    assert record(store, 4, Signer(), Progress()).digest == digest_of_leaves(exact_manifest(store.tree(4)))


def test_a_manifest_is_signed_and_nobody_elses(store: Store, tmp_path: Path) -> None:
    need("gpg", "gpgv")
    (tmp_path / "keys").mkdir()
    keys = Keys(tmp_path / "keys")
    try:
        ours = keys.key("ours")
        trust = Trust(keys.export(tmp_path / "ring.gpg", ours))
        record(store, 1, Signer(), Progress())
        with pytest.raises(IntegrityError, match="not signed, although"):
            _check(store, trust=trust)
        assert record(store, 1, Signer(ours, keys.home), Progress()).signed
        assert _check(store, trust=trust).signer == ours
        record(store, 0, Signer(ours, keys.home), Progress())
        for name in ("manifest.zst", "manifest.zst.sig"):
            shutil.copy(store.snapshot_path(0) / name, store.snapshot_path(1) / name)
        with pytest.raises(IntegrityError, match="another snapshot's"):
            _check(store, trust=trust)
        record(store, 1, Signer(), Progress())
        shutil.copy(store.snapshot_path(0) / "manifest.zst.sig", store.snapshot_path(1) / "manifest.zst.sig")
        with pytest.raises(IntegrityError, match="was changed"):
            _check(store, trust=trust)
    finally:
        keys.close()
    (store.snapshot_path(1) / "manifest.zst").write_bytes(b"nothing")
    with pytest.raises(IntegrityError, match="damaged"):
        _check(store)


def test_without_a_manifest_the_packages_are_asked(store: Store) -> None:
    assert _check(store).basis == "packages" and _check(store).sound
    broken = _check(store, 0)  # its database has an entry without a version
    assert [(item.path, item.what) for item in broken.damage] == [("usr/lib/sysimage/pacman", "unreadable")]
    with pytest.raises(UserError, match="no manifest"):
        plan_repair(store, 1, (), ANY, Progress())
    set_read_only(store.tree(1), False)
    with pytest.raises(IntegrityError, match="writable"):
        record(store, 1, Signer(), Progress())
    set_read_only(store.tree(1), True)


def _repaired(store: Store, *names: str, cache: Path | None = None) -> list[tuple[str, str, str]]:
    sources = sources_of(store, 1, names, cache or store.top / "none")
    plan = plan_repair(store, 1, sources, ANY, Progress())
    repair(store, plan, sources, Progress())
    return [(item.path, item.action, item.source) for item in plan.mends]


def test_repair_from_another_snapshot(store: Store) -> None:
    digest = record(store, 1, Signer(), Progress()).digest
    child(store, 1, "later", {"usr/lib/kept/deep/file": "changed here"})
    child(store, 1, "sister", {})
    _damage(store, 1)
    with pytest.raises(IntegrityError, match="nowhere to be had") as caught:
        _repaired(store, "0")
    assert "/usr/lib/big" in caught.value.detail and "/etc/app.conf" not in caught.value.detail
    assert len(_check(store).damage) == 10
    found = _repaired(store)
    assert ("usr/lib/big", "restore", "snapshot 3") in found and ("usr/lib/second", "make", "") in found
    assert ("usr/lib/new", "remove", "") in found and ("usr/lib/rastos/init", "attributes", "") in found
    check = _check(store)
    assert check.sound and recorded_digest(store, 1) == digest
    assert (store.tree(1) / "usr/lib/big").stat().st_nlink == 2
    assert store.snapshot(1).description == "odd"
    assert _repaired(store) == []
    with pytest.raises(OSError, match="Read-only"):
        (store.tree(1) / "x").write_text("")


def test_repair_from_the_package_cache(store: Store, tmp_path: Path) -> None:
    with create_session(store, 1, "test") as session:
        database = session.tree / "usr/lib/sysimage/pacman/local/tool-1:2-1"
        database.mkdir()
        (database / "desc").write_text("%NAME%\ntool\n\n%VERSION%\n1:2-1\n\n%ARCH%\nany\n")
        (database / "files").write_text("%FILES%\nusr/\nusr/bin/\nusr/bin/tool\n")
        (session.tree / "usr/bin").mkdir()
        (session.tree / "usr/bin/tool").write_text("#!/bin/sh\n")
        os.chmod(session.tree / "usr/bin/tool", 0o755)
        session.commit("with tool")
    number = 2
    record(store, number, Signer(), Progress())
    set_read_only(store.tree(number), False)
    (store.tree(number) / "usr/bin/tool").write_text("#!/bin/evil\n")
    set_read_only(store.tree(number), True)
    folder = tmp_path / "cache/install/packages"
    folder.mkdir(parents=True)
    (tmp_path / "made/usr/bin").mkdir(parents=True)
    for content, name in (("other", "tool-1:2-2"), ("#!/bin/sh\n", "tool-1:2-1")):
        (tmp_path / "made/usr/bin/tool").write_text(content)
        argv = ["tar", "-C", tmp_path / "made", "--zstd", "-cf", folder / f"{name}-any.pkg.tar.zst", "usr"]
        subprocess.run(argv, check=True)
    sources = sources_of(store, number, ("cache",), tmp_path / "cache")
    plan = plan_repair(store, number, sources, ANY, Progress())
    assert [(item.path, item.source) for item in plan.mends] == [("usr/bin/tool", "the package cache")]
    repair(store, plan, sources, Progress())
    assert _check(store, number).sound
    assert (store.tree(number) / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755


def _stream(store: Store, *numbers: int) -> io.BytesIO:
    buffer = io.BytesIO()
    send(store, plan_send(store, numbers), buffer, Signer(), Progress())
    buffer.seek(0)
    return buffer


def test_repair_from_a_stream_keeps_what_it_was_sent_as(store: Store) -> None:
    record(store, 1, Signer(), Progress())
    stream, other = _stream(store, 1), _stream(store, 0)
    was = identities(store.tree(1)).sent_as
    _damage(store, 1)
    with pytest.raises(UserError, match="not a stream of snapshot 1"):
        replace_by_stream(store, 1, other, ANY, Progress())
    with pytest.raises(IntegrityError, match="not what it was"):
        _stream(store, 1)
    seal = store.snapshot_path(1) / "seal.json"
    kept = seal.read_text()
    seal.unlink()
    wrong = _stream(store, 1)  # of the damaged tree
    seal.write_text(kept)
    with pytest.raises(IntegrityError, match="not what its manifest says"):
        replace_by_stream(store, 1, wrong, ANY, Progress())
    assert len(_check(store).damage) == 10
    replace_by_stream(store, 1, stream, ANY, Progress())
    assert _check(store).sound and identities(store.tree(1)).sent_as == was


CODE = """
import sys
from pathlib import Path
from rastos.host import faults
from rastos.progress import Progress
from rastos.snapshot import Signer, Trust, plan_repair, record, repair, sources_of
from tests.system.storehouse import mounted_store
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    if sys.argv[2].startswith("record"):
        record(store, 2, Signer(), Progress())
    sources = sources_of(store, 1, ("2",), Path("/none"))
    repair(store, plan_repair(store, 1, sources, Trust(unsigned=True), Progress()), sources, Progress())
"""
STEPS = sorted(
    {
        step
        for path in (ROOT / "rastos/snapshot/verify").glob("*.py")
        for step in re.findall(r'faults\.reached\("([a-z.]+)"\)', path.read_text())
    }
)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store on a file whose snapshot 1 is damaged, and 2 is a sound copy of it."""
    need("mkfs.btrfs", "mkfs.vfat")
    folder = tmp_path_factory.mktemp("damaged")
    make_files(folder)
    with mounted_store(folder, fresh=True) as store:
        _fill(store)
        record(store, 1, Signer(), Progress())
        child(store, 1, "copy", {})
        _damage(store, 1)
    return folder


@pytest.mark.parametrize("kind", ["kill", "enospc"])
@pytest.mark.parametrize("step", STEPS)
def test_stopped_anywhere_a_repair_is_done_or_not(tmp_path: Path, damaged: Path, step: str, kind: str) -> None:
    for name in ("root.img", "esp.img"):
        subprocess.run(["cp", "--sparse=always", damaged / name, tmp_path / name], check=True)
    argv = [sys.executable, "-c", CODE, tmp_path, f"{step}={kind}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (-signal.SIGKILL if kind == "kill" else 1), done.stderr
    with mounted_store(tmp_path) as store:
        assert not [item for item in leftovers(store) if "/" in item]
        assert len(store.snapshots()) == 3
        found = _check(store)
        assert found.sound == (step == "repair.exchanged")
        assert len(found.damage) == (0 if found.sound else 10)
        if step.startswith("record"):
            assert _check(store, 2).sound
        sources = sources_of(store, 1, ("2",), tmp_path)
        repair(store, plan_repair(store, 1, sources, ANY, Progress()), sources, Progress())
        assert _check(store).sound


def test_there_are_steps_to_stop_at() -> None:
    assert len(STEPS) >= 7
