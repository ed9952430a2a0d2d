"""The web console: who may come in, what is served, what goes through its WebSockets. The machine is a socket and a log file."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rastos.errors import UserError
from rastos.installer.vm import Source, served_console
from tests.conftest import ROOT

VENDOR = ROOT / "rastos/installer/vm/web/vendor"
PICTURE = b"\x89PNG\r\n\x1a\nnot much of one"


class Box:
    """What stands for a machine: what is typed into it, it says."""

    def __init__(self, folder: Path) -> None:
        self.log, self.path, self.running = folder / "console.log", folder / "console", True
        self.log.write_bytes(b"first words\r\nlogin: ")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        self.thread = threading.Thread(target=self._echo, daemon=True)
        self.thread.start()

    def _echo(self) -> None:
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            with line:
                while data := line.recv(100):
                    with self.log.open("ab") as log:
                        log.write(data.upper())


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.server.shutdown(socket.SHUT_RDWR)
    box.thread.join(10)
    box.server.close()


@pytest.fixture
def address(box: Box, tmp_path: Path) -> Iterator[str]:
    source = Source(
        name="box",
        log=box.log,
        console=box.path,
        lock=tmp_path / "lock",
        screen=None,
        alive=lambda: box.running,
        picture=lambda: PICTURE,
        resize=lambda columns, rows: True,
    )
    with served_console(source) as address:
        yield address


def asked(address: str, path: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """GET below the token; status, headers, body."""
    parts = urlsplit(address)
    line = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=10)
    line.request("GET", path if path.startswith("/") else parts.path + path, headers=headers)
    answer = line.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def ticket(address: str) -> str:
    """The cookie that the page sets."""
    return asked(address)[1]["set-cookie"].partition(";")[0]


def site(address: str) -> str:
    return address.rpartition("/")[0].rpartition("/")[0]


def test_the_page_comes_with_a_cookie_and_asks_nobody_else(address: str) -> None:
    status, headers, body = asked(address)
    assert status == 200 and b"<title>rastos</title>" in body
    assert {"HttpOnly", "SameSite=Strict"} <= {word.strip() for word in headers["set-cookie"].split(";")}
    assert "default-src 'none'" in headers["content-security-policy"] and headers["referrer-policy"] == "no-referrer"
    assert b"http://" not in body and b"https://" not in body, "the page names no other site"
    cookie = ticket(address)
    for name in ("console.js", "console.css", "vendor/xterm/xterm.mjs", "vendor/novnc/core/rfb.js"):
        assert asked(address, name, Cookie=cookie)[0] == 200, name
    assert asked(address, "screen.png", Cookie=cookie)[2] == PICTURE


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/wrong-token/", {}),
        ("", {"Host": "attacker.example"}),
        ("", {"Origin": "http://attacker.example"}),
        ("console.js", {}),
        ("console.js", {"Cookie": "rastos-1=guessed"}),
    ],
)
def test_who_lacks_the_token_the_cookie_or_the_right_site_gets_nothing(
    address: str, path: str, headers: dict[str, str]
) -> None:
    status, _, body = asked(address, path, **headers)
    assert status == 403 and b"<html" not in body


@pytest.mark.parametrize(
    "path", ["../server.py", "vendor/../server.py", "%2e%2e/server.py", "vendor/versions.json", "x"]
)
def test_nothing_but_what_is_listed_is_served(address: str, path: str) -> None:
    assert asked(address, path, Cookie=ticket(address))[0] in (403, 404)


def test_what_is_typed_arrives_and_what_is_said_is_shown_to_all(box: Box, address: str) -> None:
    where = f"{address}console".replace("http", "ws", 1)
    headers = {"Cookie": ticket(address)}
    with (
        connect(where, additional_headers=headers, origin=site(address)) as one,  # type: ignore[arg-type]
        connect(where, additional_headers=headers, origin=site(address)) as other,  # type: ignore[arg-type]
    ):
        assert json.loads(one.recv(10)) == {"name": "box", "screen": False}
        assert one.recv(10) == b"first words\r\nlogin: ", "what was said before, first"
        one.send(b"me\n")
        assert one.recv(10) == b"ME\n"
        assert [other.recv(10) for _ in range(3)][1:] == [b"first words\r\nlogin: ", b"ME\n"]
        box.running = False
        assert json.loads(one.recv(10)) == {"ended": True}


@pytest.mark.parametrize("wrong", ["origin", "cookie", "token"])
def test_a_websocket_of_another_site_is_refused(address: str, wrong: str) -> None:
    where = f"{address}console".replace("http", "ws", 1)
    if wrong == "token":
        where = where.replace(address.split("/")[3], "guessed")
    origin = "http://attacker.example" if wrong == "origin" else site(address)
    headers = {} if wrong == "cookie" else {"Cookie": ticket(address)}
    with pytest.raises(InvalidStatus) as refused, connect(where, additional_headers=headers, origin=origin):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403


def test_a_port_that_is_taken_is_said(address: str, box: Box, tmp_path: Path) -> None:
    port = urlsplit(address).port or 0
    source = Source("b", box.log, box.path, tmp_path / "l", None, lambda: True, lambda: b"", lambda c, r: True)
    with pytest.raises(UserError, match=f"port {port} of 127.0.0.1"), served_console(source, port):
        pass


def test_the_libraries_are_as_they_were_published() -> None:
    listed = json.loads((VENDOR / "versions.json").read_text())
    known = {f"{item['folder']}/{name}": digest for item in listed for name, digest in item["files"].items()}
    there = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()} - {"versions.json"}
    assert there == set(known)
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in known} == known
