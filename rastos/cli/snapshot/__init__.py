"""`rastos snapshot`: the tree of snapshots, and what boots next. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "list": ("tree", "list_", "List the snapshots; search them."),
    "tree": ("tree", "tree", "The snapshots as a tree: what runs, what boots next, what changed, how big."),
    "show": ("tree", "show", "One snapshot in detail."),
    "create": ("shaping", "create", "A child of a snapshot with the same content."),
    "branch": ("shaping", "branch", "A child with a name: the beginning of a branch."),
    "clone": ("shaping", "clone", "A copy as the root of a new tree, or in another place of this one."),
    "clone-tree": ("shaping", "clone_tree", "A snapshot with all its descendants as a new tree."),
    "reparent": ("shaping", "reparent", "Move a snapshot with all below it under another parent."),
    "describe": ("describing", "describe", "Description, name and note of a snapshot."),
    "tag": ("describing", "tag", "Give a snapshot tags or take them away."),
    "pin": ("describing", "pin", "Keep a snapshot whatever retention says."),
    "unpin": ("describing", "unpin", "Let retention decide again."),
    "run": ("changing", "run", "Packages or a command on a private copy, kept only when complete."),
    "diff": ("comparing", "diff", "What differs between two snapshots: packages, kernel, services, /etc, files."),
    "log": ("comparing", "log", "In which snapshots a path appeared, changed or went."),
    "deploy": ("deploying", "deploy", "Make a snapshot the next system to boot; the one before stays."),
    "rollback": ("deploying", "rollback", "Go back to the snapshot that booted before, or to the one named."),
    "delete": ("removing", "delete", "Delete snapshots and the deployments that start them."),
    "prune": ("retention", "prune", "Delete what a schedule no longer keeps."),
    "doctor": ("retention", "doctor", "What is lost, left over or foreign in a store; --fix mends what is safe."),
}

# what ast, ash, snapper and ostree call it (docs/snapshots.md)
WORDS = {
    "new": "clone",
    "del": "delete",
    "rm": "delete",
    "desc": "describe",
    "modify": "describe",
    "chroot": "shell",
    "clone-branch": "clone ID --beside",
    "cbranch": "clone ID --beside",
    "clone-under": "clone ID --under PARENT",
    "ubranch": "clone ID --under PARENT",
    "add-branch": "branch",
    "current": "show booted",
    "tree-run": "run --tree",
    "tree-upgrade": "run --tree --upgrade",
    "tree-rmpkg": "run --tree --remove NAME",
    "tree-sync": "sync",
    "cleanup": "prune",
    "gc": "prune",
    "undeploy": "delete",
    "fsck": "doctor",
    "fixdb": "doctor",
    "undochange": "rollback",
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__, words=WORDS)
def snapshot() -> None:
    """The tree of snapshots: create, run, deploy, roll back."""
