"""`rastos snapshot`: the tree of snapshots, and what boots next. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "list": ("tree", "list_", "List the snapshots."),
    "tree": ("tree", "tree", "The snapshots as a tree: what boots next, what changed, how old."),
    "show": ("tree", "show", "One snapshot in detail."),
    "create": ("tree", "create", "A child of a snapshot with the same content."),
    "run": ("changing", "run", "Packages or a command on a private copy, kept only when complete."),
    "diff": ("comparing", "diff", "What differs between two snapshots: packages, /etc, files, kernel."),
    "deploy": ("deploying", "deploy", "Make a snapshot the next system to boot; the one before stays."),
    "rollback": ("deploying", "rollback", "Go back to the snapshot that booted before, or to the one named."),
    "status": ("status", "status", "What runs, what boots next, and what happened at the last boots."),
    "delete": ("removing", "delete", "Delete a snapshot and the deployments that start it."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def snapshot() -> None:
    """The tree of snapshots: create, run, deploy, roll back."""
