"""The private network, with sockets in place of machines."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rastos.errors import BusyError, UserError
from rastos.installer.vm.hardware import PrivateLink
from rastos.installer.vm.network import COOKIE, SUBNET, dhcp_answer, joined, place_of


class Card:
    """What QEMU does with a link."""

    def __init__(self, link: PrivateLink) -> None:
        self.link = link
        self.mac = bytes.fromhex(link.mac.replace(":", ""))
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(link.local))
        self.line.settimeout(5)

    def send(self, frame: bytes) -> None:
        self.line.sendto(frame, str(self.link.remote))

    def silent(self) -> bool:
        self.line.settimeout(0.3)
        try:
            self.line.recv(4096)
            return False
        except TimeoutError:
            return True


@contextmanager
def machines(folder: Path, *names: str) -> Iterator[list[Card]]:
    with ExitStack() as stack:
        cards = [Card(stack.enter_context(joined(folder, name, "lan"))) for name in names]
        for card in cards:
            stack.callback(card.line.close)
        yield cards


def frame(to: bytes, source: bytes, text: bytes = b"hello") -> bytes:
    return to + source + b"\x88\xb5" + text.ljust(50, b"\0")


def test_a_frame_goes_to_whom_it_is_for(tmp_path: Path) -> None:
    with machines(tmp_path, "a", "b", "c") as (a, b, c):
        sent = frame(b.mac, a.mac)
        a.send(sent)
        assert b.line.recv(4096) == sent
        assert c.silent() and a.silent()


def test_a_broadcast_goes_to_all_others(tmp_path: Path) -> None:
    with machines(tmp_path, "a", "b", "c") as (a, b, c):
        sent = frame(b"\xff" * 6, a.mac)
        a.send(sent)
        assert b.line.recv(4096) == sent == c.line.recv(4096)
        assert a.silent()


def test_one_that_left_takes_only_itself_away(tmp_path: Path) -> None:
    with machines(tmp_path, "a", "b") as (a, b):
        with machines(tmp_path, "c") as (c,):
            gone = c.mac
        a.send(frame(gone, a.mac))
        a.send(b"short")
        sent = frame(b.mac, a.mac, b"still here")
        a.send(sent)
        assert b.line.recv(4096) == sent
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_name_is_on_a_network_once(tmp_path: Path) -> None:
    with machines(tmp_path, "a"):
        with pytest.raises(BusyError) as caught, joined(tmp_path, "a", "lan"):
            pass
        assert "machine a on network lan" in caught.value.holder
    with machines(tmp_path, "a"):  # and again when it left
        pass
    with pytest.raises(UserError, match="no name for a network"), joined(tmp_path, "a", "../lan"):
        pass


def test_place_follows_from_the_names() -> None:
    assert place_of("web", "lan") == place_of("web", "lan")
    found = {place_of(f"m{number}", "lan") for number in range(200)} | {place_of("m1", "other")}
    assert len(found) == 201
    assert all(ipaddress.ip_address(item.address) in SUBNET and item.mac.startswith("52:54:00:") for item in found)


def discover(kind: int, mac: bytes = b"\x52\x54\x00\x01\x02\x03") -> bytes:
    options = COOKIE + bytes((0, 53, 1, kind, 55, 2, 1, 3, 255))
    boot = (
        struct.pack("!BBBBIHH", 1, 1, 6, 0, 0xCAFE, 0, 0x8000) + bytes(16) + mac.ljust(16, b"\0") + bytes(192) + options
    )
    datagram = struct.pack("!HHHH", 68, 67, 8 + len(boot), 0) + boot
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + bytes(4) + b"\xff" * 4
    return b"\xff" * 6 + mac + b"\x08\x00" + head + datagram


@pytest.mark.parametrize(("asked", "told"), [(1, 2), (3, 5)])
def test_dhcp_gives_the_address_and_no_router(asked: int, told: int) -> None:
    answer = dhcp_answer(discover(asked), "10.77.1.2")
    assert answer is not None and answer[:6] == b"\x52\x54\x00\x01\x02\x03"
    head, body = answer[14:34], answer[42:]
    total = sum(struct.unpack("!10H", head))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the header's checksum"
    assert struct.unpack("!H", head[2:4])[0] == len(answer) - 14
    assert body[4:8] == b"\0\0\xca\xfe" and body[16:20] == bytes((10, 77, 1, 2)) and body[236:240] == COOKIE
    options, at = {}, 240
    while body[at] != 255:
        options[body[at]] = body[at + 2 : at + 2 + body[at + 1]]
        at += 2 + body[at + 1]
    assert options[53] == bytes((told,)) and options[1] == bytes((255, 255, 0, 0)) and 3 not in options


def test_what_is_no_question_gets_no_answer() -> None:
    assert dhcp_answer(discover(7), "10.77.1.2") is None, "a release"
    assert dhcp_answer(b"", "10.77.1.2") is None and dhcp_answer(bytes(400), "10.77.1.2") is None
    question = bytearray(discover(1))
    question[23] = 6  # TCP
    assert dhcp_answer(bytes(question), "10.77.1.2") is None
    assert dhcp_answer(discover(1)[:-3], "10.77.1.2") is not None, "options that end early"
