"""Snapshots from one store to another: whole, as differences, cut off, signed, hostile, killed at each step."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import digest_of_leaves, exact_manifest
from rastos.progress import Progress
from rastos.snapshot import (
    Signer,
    Snapshot,
    Store,
    Trust,
    create_session,
    deploy,
    plan_deploy,
    plan_send,
    receive,
    send,
    what_is_there,
)
from rastos.snapshot.subvolume import identities
from rastos.snapshot.transfer import container, sending
from rastos.snapshot.transfer.receiving import receive_directly
from rastos.snapshot.verify.record import record
from tests.conftest import ROOT, need
from tests.system.misbehaving import Keys
from tests.system.storehouse import child, first_snapshot, flaws, leftovers, make_files, mounted_store

ANY = Trust(unsigned=True)


@dataclass
class Pair:
    """Two machines."""

    base: Path
    one: Store
    two: Store

    def stream(self, *numbers: int, **choice: object) -> bytes:
        """What a send of these writes."""
        buffer = io.BytesIO()
        send(self.one, plan_send(self.one, numbers, **choice), buffer, Signer(), Progress())  # type: ignore[arg-type]
        return buffer.getvalue()

    def take(self, data: bytes, trust: Trust = ANY) -> list[Snapshot]:
        """What a receive of it through a pipe makes."""
        return [item.snapshot for item in receive(self.two, Pipe(data), trust, Progress())]

    def same(self, number: int, there: int) -> bool:
        """Whether two trees are the same."""
        trees = (self.one.tree(number), self.two.tree(there))
        return len({digest_of_leaves(exact_manifest(tree)) for tree in trees}) == 1


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    need("mkfs.btrfs", "mkfs.vfat", "btrfs")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_files(tmp_path / name)
    with mounted_store(tmp_path / "one", fresh=True) as one, mounted_store(tmp_path / "two", fresh=True) as two:
        yield Pair(tmp_path, one, two)
        for store in (one, two):
            assert not [item for item in leftovers(store) if "/" in item]


def _grown(store: Store) -> None:
    first_snapshot(store)
    child(store, 0, "second", {"etc/app.conf": "two\n", "usr/bin/tool": "x" * 300_000, "root/.profile": None})
    store.update(replace(store.snapshot(1), name="stable", tags=("web", "eu"), note="a\nnote", pinned=True))
    child(store, 1, "third", {"usr/share/deep/er/file": "3"})


def test_a_snapshot_keeps_its_identity_and_its_place(pair: Pair) -> None:
    _grown(pair.one)
    assert [item.id for item in pair.take(pair.stream(0))] == [0]
    made = pair.take(pair.stream(1, have=what_is_there(pair.two)))[0]
    was = pair.one.snapshot(1)
    assert (made.uuid, made.name, made.tags, made.note, made.parent) == (
        was.uuid,
        "stable",
        ("web", "eu"),
        "a\nnote",
        0,
    )
    assert (made.origin, made.created, made.pinned, made.kernel) == (was.uuid, was.created, False, "6.1-test")
    assert pair.same(0, 0) and pair.same(1, 1)
    assert identities(pair.two.tree(1)).received == identities(pair.one.tree(1)).uuid
    with pytest.raises(OSError, match="Read-only"):
        (pair.two.tree(1) / "etc/new").write_text("")


def test_a_difference_is_small_and_its_base_is_found(pair: Pair) -> None:
    _grown(pair.one)
    pair.take(pair.stream(0))
    whole, difference = pair.stream(2), pair.stream(2, have=what_is_there(pair.two))
    plan = plan_send(pair.one, [2], have=what_is_there(pair.two))
    assert [item.base for item in plan.items] == [0]
    assert len(difference) < len(whole)
    assert plan_send(pair.one, [0, 1, 2], have=what_is_there(pair.two)).there == (0,)
    assert [item.base for item in plan_send(pair.one, [2, 1]).items] == [None, 1]
    made = pair.take(difference)[0]
    assert made.parent is None  # its parent, 1, is not there
    assert pair.same(2, made.id)
    # and back: the received copy is a base for what comes later
    child(pair.one, 2, "fourth", {"etc/four": "4"})
    later = pair.take(pair.stream(3, have=what_is_there(pair.two)))[0]
    assert later.parent == made.id and later.delta == pair.one.snapshot(3).delta
    assert pair.same(3, later.id)


def test_several_in_one_stream_and_the_same_again(pair: Pair) -> None:
    _grown(pair.one)
    data = pair.stream(0, 1, 2)
    assert [item.id for item in pair.take(data)] == [0, 1, 2]
    again = receive(pair.two, io.BytesIO(data), ANY, Progress())
    assert [(item.snapshot.id, item.new) for item in again] == [(0, False), (1, False), (2, False)]
    assert [item.parent for item in pair.two.snapshots()] == [None, 0, 1]


def test_streams_of_two_machines_with_the_same_ids(pair: Pair) -> None:
    _grown(pair.one)
    first_snapshot(pair.two)
    child(pair.two, 0, "their own", {"etc/theirs": "1"})
    pair.two.update(replace(pair.two.snapshot(1), name="stable"))
    found = receive(pair.two, io.BytesIO(pair.stream(0, 1)), ANY, Progress())
    assert [(item.snapshot.id, item.snapshot.parent, item.snapshot.name) for item in found] == [
        (2, None, ""),
        (3, 2, ""),
    ]
    assert any("'stable' is taken" in note for note in found[1].notes)
    assert [item.uuid for item in pair.two.snapshots()[2:]] == [item.uuid for item in pair.one.snapshots()[:2]]
    assert pair.two.snapshot("stable").id == 1


def test_without_its_base_nothing_is_made(pair: Pair) -> None:
    _grown(pair.one)
    with pytest.raises(UserError, match="difference to a snapshot") as caught:
        pair.take(pair.stream(1, base=0))
    assert "whole" in caught.value.next_step
    assert pair.two.snapshots() == ()
    assert not (pair.two.top / "receiving").exists()


def test_a_cut_stream_goes_on_where_it_stopped(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CHUNK", 1 << 16)
    _grown(pair.one)
    whole = pair.stream(1)
    with pytest.raises(container.Truncated, match=r"(\d) chunks of it are kept"):
        pair.take(whole[: len(whole) - 600])
    assert pair.two.snapshots() == ()
    have = what_is_there(pair.two)
    kept = len(have.unfinished[0].chunks)
    assert kept >= 3
    rest = pair.stream(1, have=have)
    numbers = [part.number for part in container.read_parts(io.BytesIO(rest)) if isinstance(part, container.Chunk)]
    assert numbers[0] == kept
    made = receive(pair.two, io.BytesIO(rest), ANY, Progress())[0].snapshot  # in a file as well as through a pipe
    assert pair.same(1, made.id)
    assert not (pair.two.top / "receiving").exists()


def test_a_kept_chunk_that_was_torn_comes_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CHUNK", 1 << 16)
    _grown(pair.one)
    whole = pair.stream(1)
    with pytest.raises(container.Truncated):
        pair.take(whole[:-600])
    torn = sorted((pair.two.top / "receiving").glob("*/*"))[1]
    torn.write_bytes(torn.read_bytes()[:-3])
    have = what_is_there(pair.two)
    with pytest.raises(IntegrityError, match="chunk 1"):
        pair.take(pair.stream(1, have=have))
    assert pair.two.snapshots() == ()
    assert len(what_is_there(pair.two).unfinished[0].chunks) == 1
    assert pair.same(1, pair.take(pair.stream(1, have=what_is_there(pair.two)))[0].id)


def test_a_flipped_bit_anywhere_is_refused(pair: Pair) -> None:
    _grown(pair.one)
    whole = pair.stream(1)
    for place in range(40, len(whole) - 20, len(whole) // 12):
        data = bytearray(whole)
        data[place] ^= 4
        with pytest.raises((IntegrityError, UserError)):
            receive(pair.two, io.BytesIO(bytes(data)), ANY, Progress())
        assert pair.two.snapshots() == ()
    assert not list(pair.two.top.glob("snapshots/*")) and not list(pair.two.top.glob("receiving/*"))
    with pytest.raises(IntegrityError, match="no snapshot stream"):
        pair.take(b"something else altogether, long enough")
    with pytest.raises(IntegrityError, match="later format"):
        pair.take(whole.replace(b"stream 1\n", b"stream 2\n", 1))
    with pytest.raises(UserError, match="empty"):
        pair.take(b"")


def test_signed_streams(pair: Pair, tmp_path: Path) -> None:
    need("gpg", "gpgv")
    _grown(pair.one)
    (tmp_path / "keys").mkdir()
    keys = Keys(tmp_path / "keys")
    try:
        ours, other = keys.key("ours"), keys.key("other")
        ring = keys.export(tmp_path / "ring.gpg", ours)
        strict = Trust(ring)
        streams = []
        for key in (ours, other):
            buffer = io.BytesIO()
            send(pair.one, plan_send(pair.one, [0]), buffer, Signer(key, keys.home), Progress())
            streams.append(buffer.getvalue())
        with pytest.raises(IntegrityError, match="not signed"):
            pair.take(pair.stream(0), strict)
        with pytest.raises(IntegrityError, match="not in the keyring"):
            pair.take(streams[1], strict)
        with pytest.raises(IntegrityError, match="not in the keyring"):
            pair.take(streams[1], Trust(ring, unsigned=True))  # unsigned is fine, wrongly signed is not
        with pytest.raises(IntegrityError, match="no keyring"):
            pair.take(streams[0], Trust(tmp_path / "none.gpg"))
        # the signature of one stream over another
        buffer = io.BytesIO()
        send(pair.one, plan_send(pair.one, [1]), buffer, Signer(other, keys.home), Progress())
        parts = [list(container.read_parts(io.BytesIO(data))) for data in (streams[0], buffer.getvalue())]
        buffer = io.BytesIO()
        for part in [*parts[1][:-2], parts[0][-2], parts[0][-1]]:
            container.write_part(buffer, part)
        with pytest.raises(IntegrityError, match="was changed"):
            pair.take(buffer.getvalue(), strict)
        assert pair.two.snapshots() == () and not (pair.two.top / "receiving").exists()
        found = receive(pair.two, io.BytesIO(streams[0]), strict, Progress())
        assert found[0].signer == ours
    finally:
        keys.close()


def test_a_full_disk_loses_nothing_that_came(pair: Pair) -> None:
    first_snapshot(pair.one)
    with create_session(pair.one, 0, "test") as session:
        (session.tree / "usr/random").write_bytes(os.urandom(60 << 20))
        session.commit("large")
    data = pair.stream(1)
    filler = pair.two.top / "state/var/filler"
    with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(os.urandom(4 << 20))
    os.truncate(filler, filler.stat().st_size - (90 << 20))
    pair.two.sync()
    with pytest.raises(OSError, match="No space"):
        pair.take(data)
    assert pair.two.snapshots() == () and not list(pair.two.top.glob("snapshots/.new-*"))
    kept = len(what_is_there(pair.two).unfinished[0].chunks)
    assert kept >= 10
    filler.unlink()
    pair.two.sync()
    rest = pair.stream(1, have=what_is_there(pair.two))
    assert len(rest) < len(data) // 2
    assert pair.same(1, pair.take(rest)[0].id)


def test_what_was_received_boots(pair: Pair) -> None:
    first_snapshot(pair.one)
    pair.take(pair.stream(0))
    deploy(pair.two, plan_deploy(pair.two, 0), Progress())
    assert flaws(pair.two) == []
    child(pair.two, 0, "worked on here", {"etc/app.conf": "mine\n"})
    deploy(pair.two, plan_deploy(pair.two, 1), Progress())
    assert flaws(pair.two) == []


def _command(number: int, **attributes: bytes) -> bytes:
    kinds = {"uuid": 1, "ctransid": 2, "mode": 5, "rdev": 8, "path": 15, "to": 16, "link": 17, "offset": 18, "data": 19}
    kinds |= {"clone_uuid": 20, "clone_ctransid": 21, "clone_path": 22, "clone_offset": 23, "clone_len": 24, "ino": 3}
    body = b"".join(struct.pack("<HH", kinds[key], len(value)) + value for key, value in attributes.items())
    head = struct.pack("<IHI", len(body), number, 0)
    return head[:6] + struct.pack("<I", _crc32c(head + body)) + body


def _crc32c(data: bytes) -> int:
    value = 0  # as btrfs send does: no inversion before or after
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


UUID = bytes(range(16))
EIGHT = b"\0" * 8
BEGIN = b"btrfs-stream\0\1\0\0\0" + _command(1, path=b"tree", uuid=UUID, ctransid=b"\1" + EIGHT[1:])
FILE = _command(3, path=b"o1", ino=b"\1" + EIGHT[1:])
HOSTILE = {
    "up": _command(9, path=b"o1", to=b"../../outside"),
    "absolute": _command(3, path=b"/outside", ino=b"\1" + EIGHT[1:]),
    "hard link": _command(10, path=b"x", link=b"../../../store.json"),
    "device": _command(5, path=b"o2", ino=EIGHT, rdev=b"\1\3" + EIGHT[2:], mode=b"\xb6\x21" + EIGHT[2:]),
    "another's extents": _command(
        16,
        path=b"o1",
        offset=EIGHT,
        clone_uuid=b"\7" * 16,
        clone_ctransid=EIGHT,
        clone_path=b"etc/shadow",
        clone_offset=EIGHT,
        clone_len=b"\0\x10" + EIGHT[2:],
    ),
    "a second subvolume": _command(1, path=b"tree2", uuid=b"\2" * 16, ctransid=EIGHT),
    "an unknown command": _command(99, path=b"o1"),
}


def _container(content: bytes, **more: object) -> bytes:
    value = {"store": "", "snapshot": replace(SNAPSHOT).to_json(), "parent": "", "stream": UUID.hex(), "base": ""}
    header = container.make_header({**value, "base_snapshot": "", "manifest": "", **more})
    chunk = container.make_chunk(0, content)
    buffer = io.BytesIO()
    for part in (header, chunk, container.make_index(header, [chunk.digest]), container.End()):
        container.write_part(buffer, part)
    return buffer.getvalue()


SNAPSHOT = Snapshot(7, "0b0c2b0e-95a3-4fd7-a4a5-1a0d0de0c0de", 3, "2026-01-01T00:00:00+00:00", "evil \x1b[31m\nx")


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_a_hostile_stream_writes_nothing(pair: Pair, what: str) -> None:
    first_snapshot(pair.two)
    before = sorted(str(path) for path in pair.two.top.rglob("*") if "/tree/" not in str(path))
    with pytest.raises(IntegrityError, match="refused"):
        pair.take(_container(BEGIN + FILE + HOSTILE[what] + _command(21)))
    left = sorted(str(path) for path in pair.two.top.rglob("*") if "/tree/" not in str(path))
    assert [path for path in left if "journal" not in path] == [path for path in before if "journal" not in path]


def test_a_link_of_the_stream_does_not_lead_out(pair: Pair) -> None:
    target = pair.base / "outside"
    target.write_text("safe")
    through = _command(8, path=b"door", ino=EIGHT, link=str(pair.base).encode())
    through += _command(15, path=b"door/outside", offset=EIGHT, data=b"gone")
    with pytest.raises(Exception, match="btrfs receive ended"):
        pair.take(_container(BEGIN + through + _command(21)))
    assert target.read_text() == "safe" and pair.two.snapshots() == ()


def test_the_toy_stream_is_a_real_one_and_its_words_are_made_harmless(pair: Pair) -> None:
    made = pair.take(_container(BEGIN + FILE + _command(21)))[0]
    assert made.description.startswith("evil") and made.description.isprintable()
    assert made.id == 0 and made.parent is None
    assert (pair.two.tree(0) / "o1").is_file()
    for value in ({"stream": "../../x"}, {"base": "zz"}, {"manifest": "1"}, {"snapshot": {"id": 1}}):
        with pytest.raises(IntegrityError, match="header"):
            pair.take(_container(BEGIN + FILE + _command(21), **value))


def test_what_arrives_is_held_to_the_manifest_of_the_sender(pair: Pair) -> None:
    first_snapshot(pair.one)
    record(pair.one, 0, Signer(), Progress())
    found = receive(pair.two, io.BytesIO(pair.stream(0)), ANY, Progress())
    assert found[0].notes == ("every path is as its manifest says",)
    assert (pair.two.snapshot_path(0) / "manifest.zst").is_file()
    place = pair.one.snapshot_path(0) / "seal.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "manifest": "0" * 64}))
    child(pair.two, 0, "x", {})
    store = pair.two
    data = pair.stream(0)
    from rastos.snapshot import delete, plan_delete

    delete(store, plan_delete(store, 0))
    with pytest.raises(IntegrityError, match="differs from the sender's manifest"):
        pair.take(data)
    assert [item.id for item in store.snapshots()] == [1]


def test_between_two_images_directly(pair: Pair) -> None:
    _grown(pair.one)
    for item in plan_send(pair.one, [0, 1], have=what_is_there(pair.two)).items:
        made = receive_directly(
            pair.two, sending.stream_header(pair.one, item), sending.stream_of(pair.one, item), Progress()
        )
        assert made.new and pair.same(item.snapshot, made.snapshot.id)


CODE = """
import sys
from pathlib import Path
from rastos.host import faults
from rastos.progress import Progress
from rastos.snapshot import Trust, receive
from tests.system.storehouse import mounted_store
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    receive(store, sys.stdin.buffer, Trust(unsigned=True), Progress())
"""
STEPS = sorted(
    {
        step
        for path in (ROOT / "rastos/snapshot/transfer").glob("*.py")
        for step in re.findall(r'faults\.reached\("(receive\.[a-z]+)"\)', path.read_text())
    }
)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream of one snapshot, in a file."""
    need("mkfs.btrfs", "mkfs.vfat", "btrfs")
    folder = tmp_path_factory.mktemp("one")
    make_files(folder)
    with mounted_store(folder, fresh=True) as one, open(folder / "stream", "wb") as stream:
        first_snapshot(one)
        send(one, plan_send(one, [0]), stream, Signer(), Progress())
    return folder / "stream"


@pytest.mark.parametrize("kind", ["kill", "enospc"])
@pytest.mark.parametrize("step", STEPS)
def test_stopped_anywhere_nothing_half_is_seen_and_it_goes_on(
    tmp_path: Path, streamed: Path, step: str, kind: str
) -> None:
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True):
        pass
    argv = [sys.executable, "-c", CODE, tmp_path, f"{step}={kind}"]
    with open(streamed, "rb") as stream:
        cat = subprocess.Popen(["cat"], stdin=stream, stdout=subprocess.PIPE)
        done = subprocess.run(argv, cwd=ROOT, stdin=cat.stdout, capture_output=True, text=True)
        assert cat.stdout
        cat.stdout.close()
        cat.wait()
    assert done.returncode == (-signal.SIGKILL if kind == "kill" else 1), done.stderr
    published = step in ("receive.committed", "receive.cleared")
    with mounted_store(tmp_path, writable=False) as two:
        assert len(two.snapshots()) == published
    with mounted_store(tmp_path) as two:
        assert not [item for item in leftovers(two) if "/" in item]
        kept = bool(what_is_there(two).unfinished)
        assert kept == (step != "receive.cleared") or step == "receive.committed"
        with open(streamed, "rb") as stream:
            found = receive(two, stream, ANY, Progress())
        assert [item.new for item in found] == [not published]
        assert len(two.snapshots()) == 1 and not (two.top / "receiving").exists()


def test_there_are_steps_to_stop_at() -> None:
    assert len(STEPS) >= 7
    assert os.geteuid() == 0
