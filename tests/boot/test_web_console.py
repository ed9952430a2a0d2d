"""The web console of a machine that runs: typed in the browser, answered by the guest; the screen as a picture and by VNC."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from rastos.installer.vm import Hardware, booted, served_console, source_of
from tests.boot.conftest import environment


@pytest.mark.long
def test_typed_in_the_browser_answered_by_the_guest(ci_image: Path) -> None:
    cache = Path(environment()["RASTOS_CACHE"])
    with (
        booted(ci_image, cache=cache, way="direct", hardware=Hardware(screen=True, web=True, name="web")) as machine,
        served_console(source_of(machine)) as address,
    ):
        with urllib.request.urlopen(address, timeout=20) as page:
            cookie = {"Cookie": page.headers["Set-Cookie"].partition(";")[0]}
        origin = address.rpartition("/")[0].rpartition("/")[0]
        sockets = address.replace("http", "ws", 1)
        with connect(f"{sockets}console", additional_headers=cookie, origin=origin) as console:  # type: ignore[arg-type]
            console.recv(20)
            said, deadline = b"", time.monotonic() + 240
            while b"login:" not in said and time.monotonic() < deadline:
                piece = console.recv(60)
                said += piece if isinstance(piece, bytes) else b""
            console.send(b"somebody\r")
            while b"Password:" not in said and time.monotonic() < deadline:
                piece = console.recv(60)
                said += piece if isinstance(piece, bytes) else b""
            assert b"Linux version" in said and b"somebody" in said and b"Password:" in said
        with connect(f"{sockets}screen", additional_headers=cookie, origin=origin) as screen:  # type: ignore[arg-type]
            assert str(screen.recv(20), "ascii").startswith("RFB 003.")  # RFC 6143, 7.1.1
        asked = urllib.request.Request(f"{address}screen.png", headers=cookie)
        with urllib.request.urlopen(asked, timeout=30) as picture:
            assert picture.read(8) == b"\x89PNG\r\n\x1a\n"
        machine.power_off(120)
