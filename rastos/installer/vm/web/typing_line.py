"""The way into a console: one connection, which many viewers type into."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

from rastos.host import locked


class TypingLine:
    """Connected when somebody types, let go of with the last viewer, so that `image vm console` can have it."""

    def __init__(self, console: Path, lock: Path) -> None:
        self.console = console
        self.lock = lock
        self.viewers = 0
        self._held = ExitStack()
        self._writer: asyncio.StreamWriter | None = None
        self._drain: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def type(self, data: bytes) -> None:
        """Type it. Raises BusyError: another command has the console; OSError: the machine is gone."""
        async with self._opening:
            if self._writer is None:
                with ExitStack() as stack:
                    stack.enter_context(locked(self.lock, "the web console"))
                    reader, self._writer = await asyncio.open_unix_connection(str(self.console))
                    self._held = stack.pop_all()
                # what it says is in the log; unread, it would stop the guest
                self._drain = asyncio.create_task(_drained(reader))
            self._writer.write(data)
            await self._writer.drain()

    async def leave(self) -> None:
        """A viewer goes; the last one lets go of the console."""
        self.viewers -= 1
        if self.viewers <= 0:
            await self.close()

    async def close(self) -> None:
        """Let go of the console."""
        if self._drain:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        if self._writer:
            self._writer.close()
            await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)
        self._drain = self._writer = None
        self._held.close()


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
