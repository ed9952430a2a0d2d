"""`rastos snapshot`: the tree of snapshots, and what boots next. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "list": ("tree", "list_", "List the snapshots."),
    "tree": ("tree", "tree", "The snapshots as a tree: what boots next, what changed, how old."),
    "show": ("tree", "show", "One snapshot in detail."),
    "new": ("changing_new", "new", "A system from nothing but packages: the root of a new tree."),
    "create": ("tree", "create", "A child of a snapshot with the same content."),
    "run": ("changing", "run", "Packages or a command on a private copy, kept only when complete."),
    "shell": ("changing_shell", "shell", "A shell in a private copy, ended by commit, discard or keep."),
    "install": ("changing", "install", "Install packages in a copy, or in a whole branch."),
    "remove": ("changing", "remove", "Remove packages in a copy, or in a whole branch."),
    "upgrade": ("changing", "upgrade", "Bring packages up to date in a copy, or in a whole branch."),
    "session": ("changing_sessions", "session", "Copies that were kept: list, enter, run, commit, discard."),
    "rebase": ("changing_trees", "rebase", "Put a snapshot on a changed parent, asking again what was asked of it."),
    "sync": ("changing_trees", "sync", "Bring everything below a changed snapshot up to it, all or none."),
    "diff": ("comparing", "diff", "What differs between two snapshots: packages, /etc, files, kernel."),
    "deploy": ("deploying", "deploy", "Make a snapshot the next system to boot; the one before stays."),
    "rollback": ("deploying", "rollback", "Go back to the snapshot that booted before, or to the one named."),
    "delete": ("removing", "delete", "Delete a snapshot and the deployments that start it."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def snapshot() -> None:
    """The tree of snapshots: create, run, deploy, roll back."""
