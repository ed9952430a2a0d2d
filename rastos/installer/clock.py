"""How long the phases of a piece of work take, as they are shown and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rastos.progress import Progress


class Clock:
    """Phases as progress steps, and their durations."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.laps: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Run a block as a named phase."""
        started = time.monotonic()
        with self.progress.step(name[0].upper() + name[1:]):
            yield
        self.laps.append((name, round(time.monotonic() - started, 3)))
