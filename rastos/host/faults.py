"""Named points at which a test (or a drill) can make the process die or an operation fail."""

from __future__ import annotations

import errno
import os
import signal

from rastos.errors import HostError, UserError

KINDS = ("kill", "error", "enospc", "eio")
_armed: dict[str, str] = {}


def arm(specification: str) -> None:
    """Arm one or more faults: "step=kind[,step=kind]", kind one of kill, error, enospc, eio."""
    for item in specification.split(","):
        step, _, kind = item.partition("=")
        if kind not in KINDS:
            raise UserError(
                f"unknown fault '{item}'", next_step=f"write it as STEP=KIND, with KIND one of {', '.join(KINDS)}"
            )
        _armed[step] = kind


def disarm() -> None:
    """Forget all faults."""
    _armed.clear()


def reached(step: str) -> None:
    """Mark a named step of a multi-step operation; does nothing unless a fault is armed for it."""
    kind = _armed.get(step)
    if kind is None:
        return
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), step)
    if kind == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), step)
    raise HostError(
        f"injected failure at {step}", next_step="this is a drill: run the command again without RASTOS_FAULT"
    )
