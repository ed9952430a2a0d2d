"""The only user of rich: results to standard output, talk and progress to standard error.

rich is loaded only where there is a terminal to draw on: in a pipe, text goes out as it is.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rastos.cli.render import seconds
from rastos.progress import Advanced, Began, Ended, Event, Noted, Sink

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import TaskID
    from rich.text import Text

LONG = 500  # rows from which a listing is laid out plainly: rich takes a second for a few thousand
PIPE_INTERVAL = 15.0  # seconds between two progress lines of one step in a pipe


class Terminal:
    """Output of one command. User data is never read as markup."""

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self.is_terminal = _draws(sys.stdout)
        self._display: LiveDisplay | PlainDisplay | None = None

    @cached_property
    def console(self) -> Console:
        """Standard output, styled."""
        return _console(stderr=False)

    @cached_property
    def talk(self) -> Console:
        """Standard error, styled."""
        return _console(stderr=True)

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def print(self, what: RenderableType = "", *, style: str | None = None) -> None:
        """A result line or renderable."""
        if isinstance(what, str) and not self.is_terminal:
            print(what, flush=True)
        else:
            self.console.print(what, style=style)

    def say(self, text: str, *, style: str | None = None) -> None:
        """A line of talk, beside the result."""
        if _draws(sys.stderr):
            self.talk.print(text, style=style)
        else:
            print(text, file=sys.stderr, flush=True)

    def lines(self, texts: Sequence[Text]) -> None:
        """Result lines: styled on a terminal, plain elsewhere."""
        if self.is_terminal and len(texts) <= LONG:
            for text in texts:
                self.console.print(text, no_wrap=True, crop=False, overflow="ignore")
        else:
            self.raw("\n".join(text.plain for text in texts))

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None in a pipe, where nothing is cut."""
        return self.console.width if self.is_terminal else None

    def json(self, value: object) -> None:
        """A value as JSON; dataclasses and paths are understood. A long list has one line for each item."""
        text = _json(value, ascii_only=False)
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            text = _json(value, ascii_only=True)  # a file name that is no UTF-8: JSON can write it, as an escape
        print(text)

    def raw(self, text: str) -> None:
        """A file's text as it is."""
        print(text, end="" if text.endswith("\n") else "\n")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A listing; a cell may be text or a renderable."""
        if not self.is_terminal or len(rows) > LONG:
            cells = [[_text(cell) for cell in row] for row in rows]
            widths = [
                max(len(name), *(len(row[i]) for row in cells)) if cells else len(name)
                for i, name in enumerate(columns)
            ]
            for line in [list(columns), *cells]:
                print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title or None,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for column in columns:
            table.add_column(column, header_style="dim", overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text | Table) else Text(str(cell)) for cell in row))
        self.console.print(table)

    def sink(self) -> Sink:
        """Where progress events go: a live display on a terminal, lines elsewhere."""
        if self._display is None:
            self._display = LiveDisplay(self) if _draws(sys.stderr) else PlainDisplay(self)
        return self._display

    def close(self) -> None:
        """Leave the terminal clean after an error."""
        if isinstance(self._display, LiveDisplay):
            self._display.stop()


class PlainDisplay:
    """Progress as lines: a start, a line now and then while it runs, an end with its duration."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.depth: dict[int, int] = {0: -1}
        self.steps: dict[int, Began] = {}
        self.shown: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Began):
            self.depth[event.step] = self.depth.get(event.parent, -1) + 1
            self.steps[event.step] = event
            self.shown[event.step] = time.monotonic()
            self._line(event.step, f"… {event.label}")
        elif isinstance(event, Advanced):
            if time.monotonic() - self.shown.get(event.step, 0) >= PIPE_INTERVAL:
                self.shown[event.step] = time.monotonic()
                self._line(event.step, f"  {_fraction(event, self.steps[event.step].unit)} {event.detail}".rstrip())
        elif isinstance(event, Noted):
            if event.level != "log" or self.terminal.debug:
                self._line(event.step, ("  warning: " if event.level == "warning" else "  ") + event.text)
        else:
            self._line(event.step, _ended(event))

    def _line(self, step: int, text: str) -> None:
        self.terminal.say("  " * max(self.depth.get(step, 0), 0) + text)


class LiveDisplay:
    """Progress as live lines that turn into finished ones."""

    def __init__(self, terminal: Terminal) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self.terminal = terminal
        self.bars = Bars(
            TextColumn("{task.fields[indent]}{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.fields[detail]}", style="dim"),
            TimeElapsedColumn(),
            console=terminal.talk,
            transient=True,
        )
        self.tasks: dict[int, TaskID] = {}
        self.depth: dict[int, int] = {0: -1}
        self.steps: dict[int, Began] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Began):
            if not self.tasks:
                self.bars.start()
            self.depth[event.step] = self.depth.get(event.parent, -1) + 1
            self.steps[event.step] = event
            self.tasks[event.step] = self.bars.add_task(
                event.label, total=event.total, indent="  " * self.depth[event.step], counts="", detail=""
            )
        elif isinstance(event, Advanced) and event.step in self.tasks:
            counts = _fraction(event, self.steps[event.step].unit)
            task = self.tasks[event.step]
            self.bars.update(task, completed=event.done, total=event.total, counts=counts, detail=event.detail[-48:])
        elif isinstance(event, Noted):
            if event.level != "log" or self.terminal.debug:
                style = "yellow" if event.level == "warning" else "dim"
                self.terminal.say("  " * (self.depth.get(event.step, 0) + 1) + event.text, style=style)
        elif isinstance(event, Ended):
            self._finish(event)

    def _finish(self, event: Ended) -> None:
        from rich.text import Text

        task = self.tasks.pop(event.step, None)
        if task is not None:
            self.bars.remove_task(task)
        style = "red" if event.failed else "green"
        text = Text("  " * max(self.depth.get(event.step, 0), 0))
        mark, _, rest = _ended(event).partition(" ")
        text.append(mark, style=style).append(f" {rest}")
        self.terminal.talk.print(text)
        if not self.tasks:
            self.bars.stop()

    def stop(self) -> None:
        """End the live display, whatever is still open."""
        self.bars.stop()


def _draws(stream: TextIO) -> bool:
    """Whether there is a terminal, or one is asked for as rich takes it."""
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, soft_wrap=not stream.isatty(), markup=False, emoji=False, highlight=False)


def _fraction(event: Advanced, unit: str) -> str:
    if not event.total:
        return f"{event.done:,.0f} {unit}".strip() if event.done else ""
    percent = min(100, int(100 * event.done / event.total))
    return f"{percent:3d} % {event.done:,.0f} of {event.total:,.0f} {unit}".rstrip()


def _ended(event: Ended) -> str:
    tail = f": {event.outcome}" if event.outcome and not event.failed else ""
    return f"{'✗' if event.failed else '✓'} {event.label}{tail} ({seconds(event.seconds)})"


def _text(cell: object) -> str:
    return str(getattr(cell, "plain", cell))  # a rich Text's


def _json(value: object, *, ascii_only: bool) -> str:
    if isinstance(value, list | tuple) and len(value) > LONG:  # indented, Python's own slow encoder would do it
        rows = ",\n".join(jsonlib.dumps(item, default=_plain, ensure_ascii=ascii_only) for item in value)
        return f"[\n{rows}\n]"
    return jsonlib.dumps(value, indent=2, default=_plain, ensure_ascii=ascii_only)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
