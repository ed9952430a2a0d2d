"""Progress as a stream of frozen events: domain code emits them, a sink in `cli` (or a test's list) takes them.

Steps nest. A total is given only where it is known; everything else is a note. Nothing here draws or prints.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning", "log"]


@dataclass(frozen=True, slots=True)
class Began:
    """A step started; `total` in `unit` where known, `parent` is the enclosing step's id (0: none)."""

    step: int
    parent: int
    label: str
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Advanced:
    """A step stands at `done` (absolute, same unit as its total); `detail` names what is worked on now."""

    step: int
    done: float
    total: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A line worth showing (`info`, `warning`) or only worth keeping (`log`: shown with --debug)."""

    step: int
    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Ended:
    """A step ended after `seconds`; `outcome` is what it came to, `failed` that an error left it."""

    step: int
    label: str
    seconds: float
    outcome: str = ""
    failed: bool = False


Event = Began | Advanced | Noted | Ended
Sink = Callable[[Event], None]


class Step:
    """One running step; handed out by `Progress.step`."""

    def __init__(self, progress: Progress, number: int, label: str, total: float | None) -> None:
        self._progress = progress
        self.number = number
        self.label = label
        self.total = total
        self.outcome = ""

    def advance(self, done: float, detail: str = "", *, total: float | None = None) -> None:
        """Say how far the step is; `total` replaces the total when it became known or was revised."""
        if total is not None:
            self.total = total
        self._progress.emit(Advanced(self.number, done, self.total, detail))

    def note(self, text: str, level: Level = "info") -> None:
        """Add a line to this step."""
        self._progress.emit(Noted(self.number, text, level))


class Progress:
    """What domain functions report to; `Progress()` without a sink is silent."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.emit: Sink = sink or (lambda event: None)
        self._numbers = itertools.count(1)
        self._open: list[int] = []

    @contextmanager
    def step(self, label: str, *, total: float | None = None, unit: str = "") -> Iterator[Step]:
        """Run a block as a named step; set `step.outcome` inside to say in a few words what it came to."""
        step = Step(self, next(self._numbers), label, total)
        parent = self._open[-1] if self._open else 0
        self.emit(Began(step.number, parent, label, total, unit))
        self._open.append(step.number)
        started = time.monotonic()
        failed = True
        try:
            yield step
            failed = False
        finally:
            self._open.remove(step.number)
            self.emit(Ended(step.number, label, time.monotonic() - started, step.outcome, failed))

    def note(self, text: str, level: Level = "info") -> None:
        """A line that belongs to the innermost open step."""
        self.emit(Noted(self._open[-1] if self._open else 0, text, level))
