"""Downloads from a loopback server: digests, resuming, failure."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host import Request, fetch, fetch_all

BODY = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(BODY).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    ranges: list[str] = []
    cut = 0  # answers that break off in the middle

    def do_GET(self) -> None:
        if self.path != "/file":
            self.send_error(404)
            return
        wanted = self.headers.get("Range", "")
        type(self).ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        body = BODY[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).cut > 0:
            type(self).cut -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.ranges, _Handler.cut = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as daemon:
        thread = threading.Thread(target=daemon.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{daemon.server_port}"
        daemon.shutdown()
        thread.join()


def test_fetches_and_verifies(server: str, tmp_path: Path) -> None:
    fetch(Request(f"{server}/file", tmp_path / "x", DIGEST, len(BODY)))
    assert (tmp_path / "x").read_bytes() == BODY


def test_wrong_digest_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        fetch(Request(f"{server}/file", tmp_path / "x", "0" * 64))
    assert "SHA-256" in caught.value.what
    assert not list(tmp_path.iterdir())


def test_resumes_where_it_broke_off(server: str, tmp_path: Path) -> None:
    _Handler.cut = 1
    fetch(Request(f"{server}/file", tmp_path / "x", DIGEST, len(BODY)))
    assert (tmp_path / "x").read_bytes() == BODY
    assert _Handler.ranges == ["", f"bytes={len(BODY) // 2}-"]


def test_many_at_once_and_one_missing(server: str, tmp_path: Path) -> None:
    good = [Request(f"{server}/file", tmp_path / str(n), DIGEST) for n in range(6)]
    fetch_all(good)
    assert len(list(tmp_path.iterdir())) == 6
    with pytest.raises(ExternalError) as caught:
        fetch_all([*good, Request(f"{server}/none", tmp_path / "none")])
    assert "404" in caught.value.what
    assert not (tmp_path / "none").exists()


def test_no_server_says_so(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        fetch(Request("http://127.0.0.1:9/file", tmp_path / "x"))
    assert "network" in caught.value.next_step


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fetch(Request("ftp://127.0.0.1/x", tmp_path / "x"))
