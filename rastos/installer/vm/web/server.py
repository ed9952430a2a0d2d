"""The web server: the only user of `websockets`, in a thread of its own that ends with the block."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rastos.errors import RastosError, UserError

from .door import PAGE, Door, Refused
from .pages import TYPES, headers, pages
from .source import Source
from .views import Views

MESSAGE = 1 << 20  # bytes of one message from a browser
SOCKETS = ("console", "screen")
PICTURE = "screen.png"


@contextmanager
def served_console(source: Source, port: int = 0) -> Iterator[str]:
    """Serve a machine's console and screen on 127.0.0.1 while the block runs; its address, with the token in it.

    Raises UserError: the port is taken.
    """
    ready: Future[str] = Future()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await _serve(source, port, ready, stop)

    def run() -> None:
        try:
            asyncio.run(work())
        except OSError as error:
            if not ready.done():
                ready.set_exception(error)

    thread = threading.Thread(target=run, name="web console", daemon=True)
    thread.start()
    try:
        try:
            address = ready.result(20.0)
        except OSError as error:
            step = "take another one with --port, or none at all: then a free one is found"
            raise UserError(f"port {port} of 127.0.0.1 can't be had: {error.strerror}", next_step=step) from error
        yield address
    finally:
        for loop, stop in loops:
            if not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)
        thread.join(10.0)


async def _serve(source: Source, port: int, ready: Future[str], stop: asyncio.Event) -> None:
    doors: list[Door] = []
    views = Views(source)
    quiet = logging.getLogger("rastos.web")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False

    async def request(connection: ServerConnection, asked: Request) -> Response | None:
        return await _answer(doors[0], source, asked)

    async def handle(connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        try:
            await (views.console if path.endswith("/console") else views.screen)(connection)
        except (ConnectionClosed, OSError):
            pass  # the browser, or the machine, is gone

    async with serve(
        handle,
        "127.0.0.1",
        port,
        process_request=request,
        logger=quiet,
        compression=None,
        max_size=MESSAGE,
        server_header=None,
        close_timeout=2.0,
    ) as server:
        doors.append(Door(server.sockets[0].getsockname()[1]))
        ready.set_result(doors[0].address)
        sizing = asyncio.create_task(views.keep_size())
        try:
            await stop.wait()
        finally:
            sizing.cancel()
            await asyncio.gather(sizing, return_exceptions=True)
            await views.line.close()


async def _answer(door: Door, source: Source, asked: Request) -> Response | None:
    """The answer to a request; None where it becomes a WebSocket."""
    upgrade = "websocket" in (value.lower() for value in asked.headers.get_all("Upgrade"))
    hosts = asked.headers.get_all("Host")
    try:
        rest = door.enter(
            asked.path,
            hosts=hosts,
            origins=asked.headers.get_all("Origin"),
            cookies=asked.headers.get_all("Cookie"),
            websocket=upgrade,
        )
    except Refused as refused:
        return _text(refused.status, refused.why, door.hosts[0])
    if upgrade:
        return None if rest in SOCKETS else _text(404, "There is no such thing here.", hosts[0])
    if rest == PICTURE:
        try:
            return _response(200, "image/png", await asyncio.to_thread(source.picture), hosts[0])
        except (RastosError, OSError) as error:
            return _text(503, f"There is no picture: {error}", hosts[0])
    path = pages().get(rest)
    if path is None:
        return _text(404, "There is no such thing here.", hosts[0])
    response = _response(200, TYPES[path.suffix], path.read_bytes(), hosts[0])
    if rest == PAGE:
        response.headers["Set-Cookie"] = door.cookie
    return response


def _text(status: int, words: str, host: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", f"{words}\n".encode(), host)


def _response(status: int, kind: str, body: bytes, host: str) -> Response:
    fields = Headers(headers(host, kind))
    fields["Content-Length"] = str(len(body))
    fields["Connection"] = "close"
    return Response(status, HTTPStatus(status).phrase, fields, body)
