"""The guest agent: commands in the guest over a virtio port, no network needed (QEMU Guest Agent Protocol)."""

from __future__ import annotations

import base64
import json
import random
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import ExternalError

PIECE = 48 << 10  # bytes of a file in one request
ANSWER_SECONDS = 20.0  # the agent answers at once; an emulated guest on a busy host may not


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command in the guest ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, for messages."""
        return "\n".join(part for part in (self.stdout.rstrip(), self.stderr.rstrip()) if part)


class Agent:
    """A connection to the agent's socket. Every request has a deadline."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line: socket.socket | None = None
        self.buffer = b""

    def close(self) -> None:
        """Drop the connection."""
        if self.line:
            self.line.close()
            self.line = None

    def ping(self, timeout: float = 2.0) -> bool:
        """Whether an agent answers."""
        try:
            self._synchronise(timeout)
            return True
        except (OSError, ExternalError):
            self.close()
            return False

    def request(self, command: str, timeout: float = 10.0, **arguments: Any) -> Any:
        """One command of the protocol. Raises ExternalError on refusal or silence."""
        try:
            if self.line is None:
                self._synchronise(timeout)
            self._send({"execute": command, "arguments": arguments})
            deadline = time.monotonic() + timeout
            answer = self._receive(deadline)
            while not answer.keys() & {"return", "error"}:  # a torn line of an earlier connection
                answer = self._receive(deadline)
        except OSError as error:
            self.close()
            raise ExternalError(f"the guest agent is silent: {error}") from error
        if "error" in answer:
            raise ExternalError(f"the guest agent refused {command}: {answer['error'].get('desc', answer['error'])}")
        return answer.get("return")

    def execute(self, argv: list[str], timeout: float = 60.0) -> Answer:
        """Run a program in the guest to its end. Raises ExternalError when it takes longer than `timeout` seconds."""
        started = self.request("guest-exec", ANSWER_SECONDS, path=argv[0], arg=argv[1:], **{"capture-output": True})
        deadline, pause = time.monotonic() + timeout, 0.02
        while True:
            state = self.request("guest-exec-status", ANSWER_SECONDS, pid=started["pid"])
            if state["exited"]:
                break
            if time.monotonic() > deadline:
                raise ExternalError(
                    f"in the guest, {argv[0]} did not end within {timeout:g} s", on=" ".join(argv)[:200]
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        status = state.get("exitcode", -int(state.get("signal", 0)))
        return Answer(status, _decode(state.get("out-data")), _decode(state.get("err-data")))

    def put(self, path: str, data: bytes) -> None:
        """Write a file in the guest. ExternalError: not all of it could be written."""
        handle = self.request("guest-file-open", ANSWER_SECONDS, path=path, mode="w")
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            text = base64.b64encode(piece).decode()
            done = self.request("guest-file-write", ANSWER_SECONDS, handle=handle, **{"buf-b64": text})
            if done["count"] != len(piece):
                raise ExternalError(f"the guest wrote {done['count']} bytes of {len(piece)}", on=path)
        self.request("guest-file-close", ANSWER_SECONDS, handle=handle)

    def get(self, path: str) -> bytes:
        """Read a file in the guest."""
        handle = self.request("guest-file-open", ANSWER_SECONDS, path=path, mode="r")
        data = bytearray()
        while True:
            piece = self.request("guest-file-read", ANSWER_SECONDS, handle=handle, count=PIECE)
            data += base64.b64decode(piece["buf-b64"])
            if piece["eof"]:
                break
        self.request("guest-file-close", ANSWER_SECONDS, handle=handle)
        return bytes(data)

    def clock(self) -> tuple[float, float]:
        """The guest's clock (seconds since 1970), and the host's monotonic clock when it was read."""
        self.request("guest-ping", ANSWER_SECONDS)  # the first request may have to connect
        before = time.monotonic()
        told = self.request("guest-get-time", ANSWER_SECONDS)
        return int(told) / 1e9, (before + time.monotonic()) / 2

    def _synchronise(self, timeout: float) -> None:
        """guest-sync-delimited: what an earlier connection left in the channel is skipped up to the 0xFF byte."""
        self.close()
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(timeout)
        self.line.connect(str(self.path))
        self.buffer = b""
        number = random.randrange(1 << 30)
        self.line.sendall(b"\xff")
        self._send({"execute": "guest-sync-delimited", "arguments": {"id": number}})
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline)
            if answer.get("return") == number:
                return

    def _send(self, value: dict[str, Any]) -> None:
        assert self.line
        self.line.sendall(json.dumps(value).encode() + b"\n")

    def _receive(self, deadline: float) -> dict[str, Any]:
        assert self.line
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            self.line.settimeout(left)
            data = self.line.recv(65536)
            if not data:
                raise ConnectionError("the connection ended")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            value = json.loads(line.rpartition(b"\xff")[2])
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def _decode(data: str | None) -> str:
    return base64.b64decode(data).decode("utf-8", "replace") if data else ""
