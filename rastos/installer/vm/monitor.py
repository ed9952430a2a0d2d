"""QMP with deadlines: the only user of qemu.qmp. Every wait ends when QEMU dies."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import QMPClient
from qemu.qmp.error import QMPError

from rastos.errors import ExternalError

T = TypeVar("T")
RESULTS = ("GUEST_PANICKED", "WATCHDOG", "RESET", "SHUTDOWN", "STOP")


class Monitor:
    """A connection to one QEMU; its events are kept in order of arrival as (name, data)."""

    def __init__(self, socket: Path, *, alive: Callable[[], bool] = lambda: True, timeout: float = 20.0) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        self._client = QMPClient("rastos")
        self._listener: asyncio.Task[None] | None = None
        self._connect(socket, alive, timeout)

    def _connect(self, socket: Path, alive: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._call(self._open(socket), 5.0)
                return
            except (QMPError, OSError, ExternalError) as error:
                if time.monotonic() > deadline or not alive():
                    self.close()
                    raise ExternalError(f"QEMU's monitor can't be reached: {error}", on=socket) from error
                time.sleep(0.05)

    async def _open(self, socket: Path) -> None:
        await self._client.connect(str(socket))
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._client.events:
            with self._arrived:
                data: Any = event.get("data") or {}
                self.events.append((str(event["event"]), dict(data)))
                self._arrived.notify_all()

    def _call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            future.cancel()
            raise ExternalError(f"QEMU's monitor did not answer in {timeout:g} s") from error

    def execute(self, command: str, timeout: float = 10.0, **arguments: Any) -> Any:
        """One QMP command. Raises ExternalError when QEMU refuses, is gone or is silent."""
        return self.request(command, arguments, timeout)

    def request(self, command: str, arguments: Mapping[str, Any], timeout: float = 10.0) -> Any:
        """The same with arguments of any name."""
        try:
            return self._call(self._client.execute(command, dict(arguments) or None), timeout)
        except QMPError as error:
            raise ExternalError(f"QEMU refused {command}: {error}") from error

    def seen(self, *names: str, after: int = 0) -> tuple[str, dict[str, Any]] | None:
        """The first of these events that came, if one did; `after` leaves out so many of the oldest."""
        with self._arrived:
            return next((event for event in self.events[after:] if event[0] in names), None)

    def close(self) -> None:
        """Disconnect and end the thread; a second time does nothing."""
        if self._loop.is_closed():
            return
        try:
            self._call(self._leave(), 5.0)
        except (QMPError, ExternalError, OSError, EOFError):
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _leave(self) -> None:
        if self._listener:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        try:
            await self._client.disconnect()
        except (QMPError, EOFError, OSError):
            pass
