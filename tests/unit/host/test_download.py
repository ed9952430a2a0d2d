"""Downloads from a server on this machine: digests, resuming, breaking off, addresses that are wrong."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host import Request, fetch, fetch_all
from rastos.progress import Advanced, Event, Progress

DATA = bytes(range(256)) * 8000
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    ranges: list[str] = []
    break_off = 0  # bytes after which the first answers break off

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        asked = self.headers.get("Range", "")
        Handler.ranges.append(asked)
        if self.path == "/slow":
            time.sleep(0.4)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        if Handler.break_off and start < Handler.break_off:
            self.wfile.write(DATA[start : Handler.break_off])
            self.close_connection = True
        else:
            self.wfile.write(DATA[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.ranges, Handler.break_off = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{service.server_address[1]}"
        service.shutdown()
        thread.join()


def test_fetched_and_nothing_else_left(server: str, tmp_path: Path) -> None:
    target = fetch(Request(f"{server}/file", tmp_path / "deep/file", DIGEST, len(DATA)))
    assert target.read_bytes() == DATA and [item.name for item in target.parent.iterdir()] == ["file"]


def test_a_wrong_digest_never_gets_its_name(server: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="SHA-256"):
        fetch(Request(f"{server}/file", tmp_path / "file", "0" * 64, len(DATA)))
    assert not list(tmp_path.iterdir())


def test_a_transfer_that_broke_off_goes_on_where_it_was(server: str, tmp_path: Path) -> None:
    Handler.break_off = 1_000_000
    fetch(Request(f"{server}/file", tmp_path / "file", DIGEST, len(DATA)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert Handler.ranges[0] == "" and Handler.ranges[-1] == "bytes=1000000-"


def test_a_transfer_without_known_size_that_broke_off_is_noticed(server: str, tmp_path: Path) -> None:
    Handler.break_off = 1_000_000
    fetch(Request(f"{server}/file", tmp_path / "file", DIGEST))
    assert (tmp_path / "file").read_bytes() == DATA


def test_what_an_earlier_run_left_is_used_and_damage_in_it_found(server: str, tmp_path: Path) -> None:
    part = tmp_path / ".file.part"
    part.write_bytes(DATA[:5000])
    fetch(Request(f"{server}/file", tmp_path / "file", DIGEST, len(DATA)))
    assert Handler.ranges == ["bytes=5000-"]
    part.write_bytes(b"?" * 5000)
    with pytest.raises(IntegrityError):
        fetch(Request(f"{server}/file", tmp_path / "other", "1" * 64, len(DATA)))
    assert not (tmp_path / "other").exists()


def test_a_file_that_is_not_there(server: str, tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="404") as caught:
        fetch(Request(f"{server}/missing", tmp_path / "file"))
    assert caught.value.next_step and not (tmp_path / "file").exists()


def test_no_network_says_what_next(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot fetch") as caught:
        fetch(Request("http://127.0.0.1:1/file", tmp_path / "file"))
    assert "network" in caught.value.next_step


def test_unknown_kind_of_address(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fetch(Request("ftp://127.0.0.1/file", tmp_path / "file"))


def test_many_at_once_and_one_that_fails(server: str, tmp_path: Path) -> None:
    fetch_all([Request(f"{server}/{n}", tmp_path / str(n), DIGEST, len(DATA)) for n in range(6)])
    assert all((tmp_path / str(n)).read_bytes() == DATA for n in range(6))
    with pytest.raises(IntegrityError):
        fetch_all([Request(f"{server}/a", tmp_path / "a", DIGEST), Request(f"{server}/b", tmp_path / "b", "0" * 64)])
    assert not (tmp_path / "b").exists()


def test_progress_counts_a_resumed_transfer_once(server: str, tmp_path: Path) -> None:
    Handler.break_off = 1_000_000
    events: list[Event] = []
    with Progress(events.append).step("fetch", total=len(DATA), unit="bytes") as step:
        fetch(Request(f"{server}/file", tmp_path / "file", DIGEST, len(DATA)), step=step)
    done = [event.done for event in events if isinstance(event, Advanced)]
    assert done == sorted(done) and done[-1] == len(DATA)


def test_two_who_want_the_same_file_take_turns(server: str, tmp_path: Path) -> None:
    request = Request(f"{server}/slow", tmp_path / "file", DIGEST, len(DATA))
    fetch_all([request] * 4)
    assert request.target.read_bytes() == DATA and [path.name for path in tmp_path.iterdir()] == ["file"]
    assert Handler.ranges == [""]  # the others took what the first had brought


def test_a_failure_stops_the_others_at_once(server: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ExternalError, match="404"):
        fetch_all([Request(f"{server}/missing", tmp_path / "a"), Request(f"{server}/slow", tmp_path / "b", DIGEST)])
    assert time.monotonic() - started < 3 and len(Handler.ranges) <= 1
    assert not (tmp_path / "a").exists() and not (tmp_path / ".a.part").exists()
