"""A repository over HTTP: read only, its own files only, with ranges and conditional requests as pacman and we use them."""

from __future__ import annotations

import email.utils
import http.server
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rastos.errors import HostError

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
IDLE = 60.0  # seconds a client may be silent


class RepositoryServer(http.server.ThreadingHTTPServer):
    """Serves one folder; `on_request` gets a line for every answer."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int], on_request: Callable[[str], None]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.folder = folder
        self.on_request = on_request
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"


@contextmanager
def serving(folder: Path, bind: str, port: int, on_request: Callable[[str], None]) -> Iterator[RepositoryServer]:
    """A server that listens; call `serve_forever`. HostError: the address can't be had."""
    if not folder.is_dir():
        raise HostError("there is no repository here", on=folder, next_step="rastos package repo add FILE")
    try:
        server = RepositoryServer(folder, (bind, port), on_request)
    except OSError as error:
        raise HostError(
            f"cannot listen: {error.strerror or error}",
            on=f"{bind}:{port}",
            next_step="choose another --port or --bind",
        ) from error
    with server:
        yield server


class _Handler(http.server.BaseHTTPRequestHandler):
    server: RepositoryServer
    server_version = "rastos"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        self.server.on_request(f"{self.client_address[0]} {format % args}".encode("ascii", "replace").decode())

    def _answer(self, *, body: bool) -> None:
        number = self._open()
        if number is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with os.fdopen(number, "rb") as stream:
            facts = os.fstat(number)
            modified = email.utils.formatdate(facts.st_mtime, usegmt=True)
            etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
            if self._unchanged(etag, modified):
                self.send_response(HTTPStatus.NOT_MODIFIED)
                self.send_header("ETag", etag)
                self.end_headers()
                return
            start, end = 0, facts.st_size
            asked = _RANGE.match(self.headers.get("Range", ""))
            if asked:
                start, end = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else end, end)
                if start >= end:
                    self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                    self.send_header("Content-Range", f"bytes */{facts.st_size}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{facts.st_size}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", modified)
            self.send_header("ETag", etag)
            self.end_headers()
            if body:
                self._send(stream.fileno(), start, end)

    def _open(self) -> int | None:
        """The file a request names: directly in the folder, not hidden, and nothing but a file."""
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        if not name or "/" in name or "\0" in name or name.startswith("."):
            return None
        path = self.server.folder / name
        try:
            if path.is_symlink():  # NAME.db names its own database; a link that leads out is not followed
                name = os.readlink(path)
                if "/" in name or name.startswith("."):
                    return None
            number = os.open(self.server.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            return None
        return number

    def _unchanged(self, etag: str, modified: str) -> bool:
        known = self.headers.get("If-None-Match")
        if known is not None:
            return etag in [item.strip() for item in known.split(",")]
        since = self.headers.get("If-Modified-Since", "")
        try:
            return bool(since) and email.utils.parsedate_to_datetime(since) >= email.utils.parsedate_to_datetime(
                modified
            )
        except (TypeError, ValueError):
            return False

    def _send(self, number: int, start: int, end: int) -> None:
        try:
            while start < end:
                sent = os.sendfile(self.connection.fileno(), number, start, min(end - start, 1 << 20))
                if sent == 0:  # the file became shorter
                    self.close_connection = True
                    return
                start += sent
        except OSError:  # the client went away, or is silent
            self.close_connection = True
