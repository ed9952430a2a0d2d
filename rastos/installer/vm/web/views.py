"""What goes through the WebSockets: the console's bytes both ways, the screen's as VNC (RFC 6143)."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from websockets.asyncio.server import ServerConnection

from rastos.errors import BusyError

from .source import Source
from .typing_line import TypingLine

SCROLLBACK = 256 << 10  # bytes of the log a new viewer gets
PIECE = 64 << 10
LOOK_SECONDS = 0.03  # between two looks into the log
AGAIN_SECONDS = 3.0  # between two tries to tell the guest the size


class Views:
    """The viewers of one machine."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.line = TypingLine(source.console, source.lock)
        self.sizes: dict[ServerConnection, tuple[int, int]] = {}
        self.told: tuple[int, int] | None = None

    async def console(self, connection: ServerConnection) -> None:
        """One viewer of the console, until it leaves or the machine ends."""
        self.line.viewers += 1
        typed = asyncio.create_task(self._typed(connection))
        try:
            await connection.send(json.dumps({"name": self.source.name, "screen": self.source.screen is not None}))
            await self._show(connection)
            await connection.send(json.dumps({"ended": True}))
        finally:
            typed.cancel()
            await asyncio.gather(typed, return_exceptions=True)
            self.sizes.pop(connection, None)
            await self.line.leave()

    async def _show(self, connection: ServerConnection) -> None:
        """The log from a line's begin, then what is added to it: each viewer at its own speed."""
        while not self.source.log.exists():
            if not self.source.alive():
                return
            await asyncio.sleep(LOOK_SECONDS)
        with self.source.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = max(self.source.skipped, size - SCROLLBACK)
            log.seek(start)
            if start > self.source.skipped:
                log.readline()
            while True:
                ended = not self.source.alive()  # before reading: its last words count
                piece = log.read(PIECE)
                if piece:
                    await connection.send(piece)
                elif ended:
                    return
                else:
                    await _pause(connection)

    async def _typed(self, connection: ServerConnection) -> None:
        async for message in connection:
            if isinstance(message, str):
                self._said(connection, message)
                continue
            try:
                await self.line.type(message)
            except BusyError as error:
                await connection.send(json.dumps({"note": f"nothing can be typed: {error}"}))
            except OSError:
                await self.line.close()  # a machine that is gone; the log says so

    def _said(self, connection: ServerConnection, message: str) -> None:
        """The size of a viewer's terminal; anything else is not for us."""
        try:
            known: Any = json.loads(message)
            columns, rows = int(known["columns"]), int(known["rows"])
        except (ValueError, KeyError, TypeError):
            return
        if 10 <= columns <= 500 and 3 <= rows <= 300:
            self.sizes[connection] = (columns, rows)

    async def keep_size(self) -> None:
        """Tell the guest how large its terminal is: as large as the smallest viewer's."""
        while True:
            await asyncio.sleep(0.3)
            if not self.sizes:
                continue
            wanted = (min(size[0] for size in self.sizes.values()), min(size[1] for size in self.sizes.values()))
            if wanted == self.told:
                continue
            if await asyncio.to_thread(self.source.resize, *wanted):
                self.told = wanted
            else:
                await asyncio.sleep(AGAIN_SECONDS)

    async def screen(self, connection: ServerConnection) -> None:
        """One viewer of the screen: what its browser and QEMU's VNC server say to each other."""
        if self.source.screen is None:
            await connection.close(1011, "this machine has no screen")
            return
        reader, writer = await asyncio.open_unix_connection(str(self.source.screen))

        async def shown() -> None:
            while data := await reader.read(PIECE):
                await connection.send(data)

        async def pointed() -> None:
            async for message in connection:
                if isinstance(message, bytes):
                    writer.write(message)
                    await writer.drain()

        ways = [asyncio.create_task(shown()), asyncio.create_task(pointed())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _pause(connection: ServerConnection) -> None:
    """A short while; ConnectionResetError where the viewer left meanwhile."""
    await asyncio.sleep(LOOK_SECONDS)
    if connection.close_code is not None:
        raise ConnectionResetError
