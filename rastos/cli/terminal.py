"""The only user of rich: results to standard output, talk and progress to standard error."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from rastos.cli.render import seconds
from rastos.progress import Advanced, Began, Ended, Event, Noted, Sink

LONG = 500  # rows from which a table is laid out plainly: rich takes a second for a few thousand
PIPE_INTERVAL = 15.0  # seconds between two progress lines of one step in a pipe


class Terminal:
    """Output of one command. User data is never read as markup."""

    def __init__(self, *, debug: bool = False) -> None:
        plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        self.debug = debug
        self.console = Console(soft_wrap=not sys.stdout.isatty(), **plain)
        self.talk = Console(stderr=True, soft_wrap=not sys.stderr.isatty(), **plain)
        self._display: LiveDisplay | PlainDisplay | None = None

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def print(self, what: RenderableType = "", *, style: str | None = None) -> None:
        """A result line or renderable."""
        self.console.print(what, style=style)

    def say(self, text: str, *, style: str | None = None) -> None:
        """A line of talk, beside the result."""
        self.talk.print(text, style=style)

    def lines(self, texts: Sequence[Text]) -> None:
        """Result lines: styled on a terminal, plain elsewhere."""
        if self.console.is_terminal and len(texts) <= LONG:
            for text in texts:
                self.console.print(text, no_wrap=True, crop=False, overflow="ignore")
        else:
            self.raw("\n".join(text.plain for text in texts))

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None in a pipe, where nothing is cut."""
        return self.console.width if self.console.is_terminal else None

    def json(self, value: object) -> None:
        """A value as JSON; dataclasses and paths are understood."""
        text = jsonlib.dumps(value, indent=2, default=_plain, ensure_ascii=False)
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            # a file name that is no UTF-8: JSON can write it, as an escape
            text = jsonlib.dumps(value, indent=2, default=_plain)
        print(text)

    def raw(self, text: str) -> None:
        """A file's text as it is."""
        print(text, end="" if text.endswith("\n") else "\n")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A listing; a cell may be text or a renderable."""
        if not self.console.is_terminal or len(rows) > LONG:
            cells = [[_text(cell) for cell in row] for row in rows]
            widths = [
                max(len(name), *(len(row[i]) for row in cells)) if cells else len(name)
                for i, name in enumerate(columns)
            ]
            for line in [list(columns), *cells]:
                print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
            return
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
            self._display = LiveDisplay(self) if self.talk.is_terminal else PlainDisplay(self)
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


def _fraction(event: Advanced, unit: str) -> str:
    if not event.total:
        return f"{event.done:,.0f} {unit}".strip() if event.done else ""
    percent = min(100, int(100 * event.done / event.total))
    return f"{percent:3d} % {event.done:,.0f} of {event.total:,.0f} {unit}".rstrip()


def _ended(event: Ended) -> str:
    tail = f": {event.outcome}" if event.outcome and not event.failed else ""
    return f"{'✗' if event.failed else '✓'} {event.label}{tail} ({seconds(event.seconds)})"


def _text(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
