"""What the machine says on its port, as lines of JSON: progress, then either the result or an error. Nothing from it is run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.progress import Advanced, Began, Ended, Event, Noted, Progress

PORT = "org.rastos.work"
LONGEST = 1 << 20  # bytes of a line
_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (Began, Advanced, Noted, Ended)}
_ERRORS: dict[str, type[RastosError]] = {
    kind.__name__: kind for kind in (UserError, HostError, ExternalError, IntegrityError, BusyError)
}
# the machine counts its steps from 1, as every Progress does: here they get numbers nobody else has
_FIRST = itertools.count(1_000_000, 1_000_000)


def event_line(event: Event) -> bytes:
    """A progress event as a line."""
    return _line({"event": type(event).__name__, **asdict(event)})


def error_line(error: RastosError) -> bytes:
    """An error as a line."""
    words = {"what": error.what, "on": error.on, "next_step": error.next_step, "detail": error.detail}
    return _line({"error": type(error).__name__, **words})


def result_line(result: dict[str, Any]) -> bytes:
    """The result as a line: the last one."""
    return _line({"result": result})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def reader(progress: Progress, parent: int) -> Callable[[bytes], dict[str, Any] | None]:
    """A function that takes a line: events go to `progress` below the step `parent`, the result is returned, an error raised.

    Raises ValueError for what isn't a line of ours.
    """
    first = next(_FIRST)

    def number(step: object) -> int:
        return first + int(str(step)) if step else parent

    def read(line: bytes) -> dict[str, Any] | None:
        try:
            said = json.loads(line)
            if "result" in said:
                return dict(said["result"])
            if "error" not in said:
                kind = _EVENTS[said.pop("event")]
                said["step"] = number(said["step"])
                if kind is Began:
                    said["parent"] = number(said["parent"])
                progress.emit(kind(**said))
                return None
            error = _ERRORS.get(said["error"], RastosError)
            words = {key: str(said[key]) for key in ("what", "on", "next_step", "detail")}
        except (KeyError, TypeError, AttributeError) as fault:
            raise ValueError(f"not understood: {line[:200]!r}") from fault
        raise _rebuilt(error, words)

    return read


def _rebuilt(kind: type[RastosError], words: dict[str, str]) -> RastosError:
    error = kind(words["what"], on=words["on"], next_step=words["next_step"])
    error.detail = words["detail"]
    if isinstance(error, BusyError):
        error.holder = error.detail
    if isinstance(error, ExternalError):
        error.tail = error.detail
    return error
