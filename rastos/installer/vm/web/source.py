"""What is shown of a machine: its console's log and socket, its screen's VNC socket, pictures of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import RastosError

if TYPE_CHECKING:
    from ..driver import Machine

SERIAL = "/dev/ttyS0"


@dataclass(frozen=True, slots=True)
class Source:
    """A machine as the web console sees it.

    `log` is what the console said (QEMU writes it, whoever is connected), `console` the socket that takes what is typed,
    `lock` is held by whoever types. `screen`: a VNC server's socket, None without a screen. `picture` gives a PNG,
    `resize` tells the guest the terminal's columns and rows and gives False while it can't.
    """

    name: str
    log: Path
    console: Path
    lock: Path
    screen: Path | None
    alive: Callable[[], bool]
    picture: Callable[[], bytes]
    resize: Callable[[int, int], bool]
    skipped: int = 0


def source_of(machine: Machine) -> Source:
    """A machine that runs in this process."""
    spec = machine.spec
    one = threading.Lock()

    def picture() -> bytes:
        with one:
            path = spec.runtime / "web.png"
            try:
                return machine.screenshot(path).read_bytes()
            finally:
                path.unlink(missing_ok=True)

    def resize(columns: int, rows: int) -> bool:
        from rastos.host import locked

        from ..guest import Agent

        agent = Agent(spec.agent)
        try:
            with locked(spec.runtime / "talk.lock", "the size of the web console"):
                words = ["stty", "-F", SERIAL, "cols", str(columns), "rows", str(rows)]
                return agent.ping(1.0) and agent.execute(words, 10.0).status == 0
        except (RastosError, OSError):
            return False  # not up yet, or somebody else talks to it
        finally:
            agent.close()

    return Source(
        name=machine.name,
        log=spec.console_log,
        console=spec.console,
        lock=spec.runtime / "console.lock",
        screen=spec.fitted.screen_socket,
        alive=lambda: not machine.gone(),
        picture=picture,
        resize=resize,
    )
