"""How the run of a machine ends, and what ends with it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

from rastos.errors import ExternalError


class GuestCrashed(ExternalError):
    """The guest's kernel or init gave up; the tail holds its words."""


class Ending(StrEnum):
    """How a machine's run ended; `reset` is an ending only for `Machine.wait_ending`, QEMU itself goes on."""

    POWER_OFF = "power-off"  # the guest did it
    RESET = "reset"
    PANIC = "panic"
    WATCHDOG = "watchdog"
    QUIT = "quit"  # the host asked QEMU to end
    KILLED = "killed"  # QEMU died: a signal, or an error of its own


class Process(Protocol):
    """What a machine needs of QEMU's process: a child of ours (Popen), or one that another rastos started."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> Any: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
