"""Containers, btrfs streams and places to send to, without a disk."""

from __future__ import annotations

import io
import json
import struct

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.snapshot.transfer import container
from rastos.snapshot.transfer.have import Have, Unfinished, read_have
from rastos.snapshot.transfer.incoming import read_header
from rastos.snapshot.transfer.remote import Remote, parse_remote
from rastos.snapshot.transfer.stream import Scanner

UUID, BASE = "11" * 16, "22" * 16


def command(number: int, **attributes: bytes) -> bytes:
    kinds = {"uuid": 1, "path": 15, "to": 16, "link": 17, "data": 19, "clone": 20, "clone_path": 22}
    body = b"".join(struct.pack("<HH", kinds[key], len(value)) + value for key, value in attributes.items())
    return struct.pack("<IHI", len(body), number, 0) + body


MAGIC = b"btrfs-stream\0\1\0\0\0"
WHOLE = command(1, path=b"tree", uuid=bytes.fromhex(UUID))
CHILD = command(2, path=b"tree", uuid=bytes.fromhex(UUID), clone=bytes.fromhex(BASE))
END = command(21)


def scan(*commands: bytes, base: str = "", devices: bool = False, step: int = 1 << 20) -> int:
    scanner = Scanner(UUID, base, devices=devices)
    data = b"".join(commands)
    for at in range(0, len(data), step):
        scanner.feed(data[at : at + step])
    scanner.finish()
    return scanner.commands


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_sound_stream_in_pieces_of_any_size(step: int) -> None:
    body = (
        command(3, path=b"o257-5-0"),
        command(9, path=b"o257-5-0", to=b"etc/passwd"),
        command(8, path=b"door", link=b"/etc/../.."),
        command(15, path=b"etc/passwd", data=b"../" * 1000),
        command(10, path=b"second", link=b"etc/passwd"),
        command(18, path=b""),
    )
    assert scan(MAGIC, WHOLE, *body, END, step=step) == 8
    shared = command(16, path=b"a", clone=bytes.fromhex(BASE), clone_path=b"b")
    assert scan(MAGIC, CHILD, *body, shared, END, base=BASE, step=step) == 9


def encoded(path: bytes, data: bytes, number: int = 25) -> bytes:
    """A command of version 2: its content comes last, without a length (fs/btrfs/send.h, BTRFS_SEND_A_DATA)."""
    body = struct.pack("<HH", 15, len(path)) + path + struct.pack("<H", 19) + data
    return struct.pack("<IHI", len(body), number, 0) + body


@pytest.mark.parametrize("data", [b"", b"1", b"\x0f\0\x04\0/etc", bytes(140_000)])
def test_version_2_with_content_of_any_length(data: bytes) -> None:
    magic = MAGIC.replace(b"\1", b"\2")
    for number in (15, 25):
        scanner = Scanner(UUID, "", devices=False, version=2)
        scanner.feed(magic + WHOLE + encoded(b"file", data, number) + END)
        scanner.finish()
        assert scanner.commands == 3
        hostile = Scanner(UUID, "", devices=False, version=2)
        with pytest.raises(IntegrityError, match="leads out"):
            hostile.feed(magic + WHOLE + encoded(b"../file", data, number) + END)
    with pytest.raises(IntegrityError, match="version 2"):
        Scanner(UUID, "", devices=False, version=2).feed(MAGIC + WHOLE + END)
    with pytest.raises(IntegrityError, match="unknown kind 25"):
        scan(MAGIC, WHOLE, encoded(b"file", data), END)


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        ((b"something else altogether",), "version 1"),
        ((b"btrfs-stream\0\2\0\0\0", WHOLE, END), "version 1"),
        ((MAGIC, END), "no subvolume"),
        ((MAGIC, WHOLE), "not complete"),
        ((MAGIC, WHOLE, END, END), "behind its end"),
        ((MAGIC, WHOLE, END, b"x"), "not complete"),
        ((MAGIC, WHOLE, WHOLE, END), "more than one"),
        ((MAGIC, CHILD, END), "based on another"),
        ((MAGIC, command(1, path=b"../tree", uuid=bytes.fromhex(UUID)), END), "leads out"),
        ((MAGIC, command(1, path=b"tree", uuid=bytes.fromhex(BASE)), END), "another subvolume"),
        ((MAGIC, WHOLE, command(3, path=b"a/./b"), END), "leads out"),
        ((MAGIC, WHOLE, command(3, path=b"a//b"), END), "leads out"),
        ((MAGIC, WHOLE, command(11, path=b"a\0b"), END), "leads out"),
        ((MAGIC, WHOLE, command(15, path=b"/etc/passwd", data=b"x"), END), "leads out"),
        ((MAGIC, WHOLE, command(16, path=b"a", clone=bytes.fromhex(BASE), clone_path=b"b"), END), "another subvolume"),
        ((MAGIC, WHOLE, command(16, path=b"a", clone=bytes.fromhex(UUID), clone_path=b"../b"), END), "leads out"),
        ((MAGIC, WHOLE, command(5, path=b"sda"), END), "a device"),
        ((MAGIC, WHOLE, command(25, path=b"a"), END), "unknown kind"),
        ((MAGIC, WHOLE, struct.pack("<IHI", 1 << 20, 3, 0), END), "too long"),
        ((MAGIC, WHOLE, command(3, path=b"a") + b"", struct.pack("<IHI", 3, 3, 0) + b"abc", END), "torn"),
        ((MAGIC, WHOLE, struct.pack("<IHI", 8, 3, 0) + struct.pack("<HH", 15, 90) + b"abcd", END), "torn"),
        ((MAGIC, WHOLE, struct.pack("<IHI", 8, 3, 0) + struct.pack("<HH", 15, 0) * 2, END), "twice"),
    ],
)
def test_a_stream_that_is_refused(commands: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        scan(*commands)


def test_a_device_of_a_trusted_sender() -> None:
    assert scan(MAGIC, WHOLE, command(5, path=b"null"), END, devices=True) == 3


def _written() -> bytes:
    header = container.make_header({"a": 1})
    chunks = [container.make_chunk(number, bytes([number]) * 1000) for number in range(3)]
    buffer = io.BytesIO()
    index = container.make_index(header, [chunk.digest for chunk in chunks])
    for part in (header, *chunks, index, container.Signature(b"sig"), container.End()):
        container.write_part(buffer, part)
    return buffer.getvalue()


def test_a_container_and_back() -> None:
    source = io.BytesIO(_written() * 2)
    for _ in range(2):
        parts = list(container.read_parts(source))
        assert [type(part).__name__ for part in parts] == ["Header", *["Chunk"] * 3, "Index", "Signature", "End"]
        assert [part.plain() for part in parts if isinstance(part, container.Chunk)] == [
            bytes([n]) * 1000 for n in range(3)
        ]
    assert list(container.read_parts(source)) == []


def test_a_container_cut_anywhere() -> None:
    data = _written()
    for end in range(len(container.MAGIC), len(data)):
        with pytest.raises(container.Truncated):
            list(container.read_parts(io.BytesIO(data[:end])))


@pytest.mark.parametrize(
    "record",
    [b"Z" + bytes(8), b"H" + b"\xff" * 8, b"C" + struct.pack("<Q", 5) + b"abcde", b"H" + struct.pack("<Q", 2) + b"[]"],
)
def test_a_container_with_nonsense_in_it(record: bytes) -> None:
    with pytest.raises(IntegrityError):
        list(container.read_parts(io.BytesIO(container.MAGIC + record + bytes(100))))


def test_a_chunk_does_not_unpack_without_end() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    with pytest.raises(IntegrityError, match="chunk 0"):
        container.Chunk(0, "0" * 64, bomb).plain()


def test_a_header_that_is_none() -> None:
    for value in ({}, {"snapshot": {}}, {"stream": UUID, "base": "", "snapshot": {"uuid": "x", "id": 1}}):
        with pytest.raises(IntegrityError, match="header"):
            read_header(container.make_header(value))


def test_what_is_there_and_back() -> None:
    have = Have("s", frozenset(["a"]), frozenset([UUID]), (Unfinished(UUID, "", ("00", "11")),))
    assert read_have(json.dumps(have.to_json()), "x") == have
    assert have.kept(UUID, "") == ("00", "11") and have.kept(UUID, BASE) == ()
    with pytest.raises(IntegrityError, match="no list"):
        read_have("{}", "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://host", Remote("host")),
        ("ssh://me@host.example:2222/var/images/a%20b.raw", Remote("me@host.example", 2222, "/var/images/a b.raw")),
        ("ssh://host/", Remote("host")),
    ],
)
def test_places_to_send_to(text: str, expected: Remote) -> None:
    assert parse_remote(text) == expected


@pytest.mark.parametrize(
    "text", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://h:port", "ssh://u:pw@h", "ssh://-l@h"]
)
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="names no machine"):
        parse_remote(text)


def test_what_ssh_runs_is_quoted_for_the_shell_there() -> None:
    argv = Remote("host", 22, "/a b; reboot").argv("receive", "-")
    assert argv == [
        "ssh", "-o", "BatchMode=yes", "-p", "22", "--", "host",
        "rastos snapshot receive - --image '/a b; reboot'",
    ]  # fmt: skip
