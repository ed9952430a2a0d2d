"""The guest agent's protocol, against an agent made here that can misbehave."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm.guest import Agent

Reply = Callable[[dict[str, Any]], "bytes | dict[str, Any] | None"]  # None: say nothing; b"": hang up


@contextmanager
def guest(path: Path, reply: Reply, greeting: bytes = b"") -> Iterator[list[str]]:
    """An agent on a socket; yields the names of the commands it was given."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    line, _ = server.accept()
                except TimeoutError:
                    continue
                with line:
                    line.settimeout(0.05)
                    line.sendall(greeting)
                    talk(line)

        def talk(line: socket.socket) -> None:
            pending = b""
            while not over.is_set():
                try:
                    data = line.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    return
                *whole, pending = (pending + data).split(b"\n")
                for text in whole:
                    message = json.loads(text.lstrip(b"\xff"))
                    asked.append(message["execute"])
                    if message["execute"] == "guest-sync-delimited":
                        answer: Any = b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n"
                    else:
                        answer = reply(message)
                    if answer == b"":
                        return
                    if isinstance(answer, dict):
                        answer = json.dumps(answer).encode() + b"\n"
                    if answer is not None:
                        line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "agent")
    yield agent
    agent.close()


def test_nobody_there_is_no_answer(agent: Agent) -> None:
    assert agent.ping(0.2) is False
    with pytest.raises(ExternalError, match="silent"):
        agent.request("guest-ping", 0.2)


def test_a_command_is_started_and_asked_for_until_it_ends(agent: Agent) -> None:
    polls = iter([False, False, True])

    def reply(message: dict[str, Any]) -> dict[str, Any]:
        if message["execute"] == "guest-exec":
            assert message["arguments"] == {"path": "/bin/echo", "arg": ["ä", "b"], "capture-output": True}
            return {"return": {"pid": 7}}
        assert message["arguments"] == {"pid": 7}
        if not next(polls):
            return {"return": {"exited": False}}
        out = base64.b64encode("ä b\n".encode()).decode()
        return {"return": {"exited": True, "exitcode": 3, "out-data": out}}

    with guest(agent.path, reply) as asked:
        answer = agent.execute(["/bin/echo", "ä", "b"])
    assert (answer.status, answer.stdout, answer.stderr, answer.text) == (3, "ä b\n", "", "ä b")
    assert asked.count("guest-exec-status") == 3


def test_a_killed_command_has_a_negative_status(agent: Agent) -> None:
    answers = {"guest-exec": {"pid": 1}, "guest-exec-status": {"exited": True, "signal": 9}}
    with guest(agent.path, lambda message: {"return": answers[message["execute"]]}):
        assert agent.execute(["/bin/sleep"]).status == -9


def test_a_command_that_never_ends_ends_by_its_deadline(agent: Agent) -> None:
    answers = {"guest-exec": {"pid": 1}, "guest-exec-status": {"exited": False}}
    with guest(agent.path, lambda message: {"return": answers[message["execute"]]}):
        started = time.monotonic()
        with pytest.raises(ExternalError, match="did not end within 0.3 s"):
            agent.execute(["/bin/sleep", "1000"], 0.3)
        assert time.monotonic() - started < 3


def test_a_refusal_says_why(agent: Agent) -> None:
    with guest(agent.path, lambda message: {"error": {"class": "GenericError", "desc": "No such file"}}):
        with pytest.raises(ExternalError, match="refused guest-exec: No such file"):
            agent.execute(["/nowhere"])


def test_silence_ends_by_the_deadline(agent: Agent) -> None:
    with guest(agent.path, lambda message: None):
        started = time.monotonic()
        with pytest.raises(ExternalError, match="silent"):
            agent.request("guest-ping", 0.3)
        assert time.monotonic() - started < 3


def test_the_end_of_the_machine_is_noticed_at_once(agent: Agent) -> None:
    with guest(agent.path, lambda message: b""):
        started = time.monotonic()
        with pytest.raises(ExternalError, match="connection ended"):
            agent.request("guest-ping", 30)
        assert time.monotonic() - started < 3


def test_leftovers_of_an_earlier_connection_are_skipped(agent: Agent) -> None:
    torn = b'a": 1}}\n{"return": {"pid": 99}}\n'
    with guest(agent.path, lambda message: b"\x80garbage\n" + b'{"return": "right"}\n', greeting=torn):
        assert agent.request("guest-info") == "right"


def test_an_answer_may_come_in_pieces(agent: Agent) -> None:
    with guest(agent.path, lambda message: {"return": "x" * 300_000}):
        assert agent.request("guest-info") == "x" * 300_000


def test_a_file_is_written_piece_by_piece_and_closed(agent: Agent) -> None:
    data, written = bytes(range(256)) * 500, b""

    def reply(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal written
        if message["execute"] == "guest-file-write":
            piece = base64.b64decode(message["arguments"]["buf-b64"])
            written += piece
            return {"return": {"count": len(piece), "eof": False}}
        return {"return": 3}

    with guest(agent.path, reply) as asked:
        agent.put("/var/tmp/x", data)
    assert written == data and asked.count("guest-file-write") == 3 and asked[-1] == "guest-file-close"


def test_a_full_disk_in_the_guest_is_noticed(agent: Agent) -> None:
    answers: dict[str, Any] = {"guest-file-open": 3, "guest-file-write": {"count": 1, "eof": False}}
    with guest(agent.path, lambda message: {"return": answers[message["execute"]]}):
        with pytest.raises(ExternalError, match="wrote 1 bytes of 5"):
            agent.put("/var/tmp/x", b"12345")


def test_the_clock_of_the_guest_comes_with_ours(agent: Agent) -> None:
    answers: dict[str, Any] = {"guest-ping": {}, "guest-get-time": 1_700_000_000_500_000_000}
    with guest(agent.path, lambda message: {"return": answers[message["execute"]]}):
        before = time.monotonic()
        wall, host = agent.clock()
    assert wall == 1_700_000_000.5 and before <= host <= time.monotonic()
