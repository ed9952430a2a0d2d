"""Private networks between machines, with no privilege, no central switch and no port of the host.

A network is a folder. A machine's card writes its frames to the socket `<mac>.out`, which a thread of its supervisor reads,
and reads `<mac>.in`. The thread passes each frame on by its destination address: to the `.in` of that name, or to all others.
So the folder is the switch's table; a member that dies takes only itself away, and only the folder's owner can join.
Its own supervisor also answers each machine's DHCP (RFC 2131): the address follows from the name, no router is offered.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import locked

from .hardware import PrivateLink, machine_name

SUBNET = ipaddress.ip_network("10.77.0.0/16")
SERVER = ipaddress.ip_address("10.77.255.254")
LARGEST = 1 << 17  # bytes of a frame, offloads included
PATIENCE = 0.05  # seconds a frame waits for room at its receiver (net.unix.max_dgram_qlen is 10 on many hosts)
LEASE = 1 << 30
COOKIE = b"\x63\x82\x53\x63"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is on a private network: both follow from the names."""

    mac: str
    address: str


def place_of(name: str, network: str) -> Place:
    """MAC (52:54:00, QEMU's own) and IPv4 address of a machine."""
    number = hashlib.sha256(f"{network}/{name}".encode()).digest()
    host = int.from_bytes(number[3:5], "big") % (SUBNET.num_addresses - 512) + 1
    return Place("52:54:00:" + ":".join(f"{byte:02x}" for byte in number[:3]), str(SUBNET[host]))


@contextmanager
def joined(folder: Path, name: str, network: str) -> Iterator[PrivateLink]:
    """Be on a network whose folder this is, while the block runs. UserError: a machine of that name is on it."""
    machine_name(network, "network")
    place = place_of(name, network)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = folder / place.mac.replace(":", "")
    inside, outside = stem.with_suffix(".in"), stem.with_suffix(".out")
    if len(bytes(outside)) > 100:
        raise UserError("the path of a network is too long for a socket", on=folder, next_step="use a shorter TMPDIR")
    with locked(stem.with_suffix(".lock"), f"machine {name} on network {network}"):
        for path in (inside, outside):
            path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.bind(str(outside))
            switch = _Switch(line, folder, inside, place.address)
            thread = threading.Thread(target=switch.run, name="network", daemon=True)
            thread.start()
            try:
                yield PrivateLink(place.mac, inside, outside)
            finally:
                switch.over.set()
                thread.join(5.0)
                for path in (inside, outside):
                    path.unlink(missing_ok=True)


class _Switch:
    """One machine's side of the network."""

    def __init__(self, line: socket.socket, folder: Path, inside: Path, address: str) -> None:
        self.line = line
        self.folder = folder
        self.inside = inside
        self.address = address
        self.over = threading.Event()

    def run(self) -> None:
        """Pass frames on until told to end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(PATIENCE)
            while not self.over.is_set():
                self.line.settimeout(0.2)
                try:
                    frame = self.line.recv(LARGEST)
                except OSError:
                    continue
                answer = dhcp_answer(frame, self.address)
                if answer:
                    _send(out, answer, self.inside)
                    continue
                for path in self._receivers(frame):
                    _send(out, frame, path)

    def _receivers(self, frame: bytes) -> list[Path]:
        if len(frame) < 14:
            return []
        if not frame[0] & 1:
            return [self.folder / f"{frame[:6].hex()}.in"]
        return [path for path in self.folder.glob("*.in") if path != self.inside]


def _send(out: socket.socket, frame: bytes, path: Path) -> None:
    try:
        out.sendto(frame, str(path))
    except OSError:
        pass  # nobody there, or too slow: a network loses frames


def dhcp_answer(frame: bytes, address: str) -> bytes | None:
    """The offer or acknowledgement for a DHCPDISCOVER or DHCPREQUEST in an Ethernet frame; None for any other frame."""
    if len(frame) < 14 + 20 + 8 + 240 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    header = (frame[14] & 15) * 4
    packet = frame[14 + header :]
    if packet[:4] != b"\x00\x44\x00\x43" or packet[8 + 236 : 8 + 240] != COOKIE:
        return None
    request = packet[8:]
    kind = {1: 2, 3: 5}.get(_option(request[240:], 53))
    if kind is None:
        return None
    given = ipaddress.ip_address(address).packed
    client = request[28:34]
    options = bytes((53, 1, kind, 54, 4)) + SERVER.packed + b"\x33\x04" + struct.pack("!I", LEASE)
    options += b"\x01\x04" + SUBNET.netmask.packed + b"\xff"
    body = b"\x02\x01\x06\x00" + request[4:8] + b"\0\0" + request[10:12] + bytes(4) + given + SERVER.packed + bytes(4)
    body = (body + request[28:44]).ljust(236, b"\0") + COOKIE + options
    datagram = struct.pack("!HHHH", 67, 68, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + SERVER.packed + b"\xff" * 4
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return client + b"\x02RASTO" + b"\x08\x00" + head + datagram


def _option(options: bytes, wanted: int) -> int:
    """A one-byte DHCP option; 0 where it is missing."""
    at = 0
    while at + 2 < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        if options[at] == wanted:
            return options[at + 2]
        at += 2 + options[at + 1]
    return 0


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
