"""`rastos package`: declare, plan, install, look, keep. One module per kind of command, imported when it is called."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "plan": ("change", "plan", "Show what a change comes to, and why each package is there."),
    "apply": ("change", "apply", "Make a tree hold what is declared or named, by libalpm."),
    "list": ("query", "list_", "What is installed in a tree."),
    "search": ("query", "search", "Find packages of the channels by name and description."),
    "info": ("query", "info", "Everything known of one package."),
    "keys": ("keys", "keys", "Whom the channels trust: list, import, trust, refresh."),
    "repo": ("repo", "repo", "The repository of packages built here: add, remove, list, sign, serve."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def package() -> None:
    """Declare, plan and install packages; look at what is there; undo."""
