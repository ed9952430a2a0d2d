"""Groups whose commands are imported when they are called: `--help` reads a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

Table = Mapping[str, tuple[str, str, str]]


class LazyGroup(click.Group):
    """A group from a table: name → (module, attribute, one line of help); modules count from `package`.

    `words`: what other tools call a command → what it is here; said where somebody types it.
    """

    def __init__(
        self, *arguments: Any, table: Table, package: str, words: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.table = table
        self.package = package
        self.words = words or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in self.table:
            return None
        import importlib

        module, attribute, _ = self.table[cmd_name]
        command = getattr(importlib.import_module(f"{self.package}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is none."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            if args[0] in self.words:
                hint = f" Here that is '{self.words[args[0]]}'."
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.table.items()])
