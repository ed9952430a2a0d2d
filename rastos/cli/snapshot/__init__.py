"""`rastos snapshot`: the tree of snapshots, and what boots next. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "list": ("tree", "list_", "List the snapshots; search them."),
    "tree": ("tree", "tree", "The snapshots as a tree: what runs, what boots next, what changed, how big."),
    "show": ("tree", "show", "One snapshot in detail."),
    "new": ("changing_new", "new", "A system from nothing but packages: the root of a new tree."),
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
    "shell": ("changing_shell", "shell", "A shell in a private copy, ended by commit, discard or keep."),
    "install": ("changing", "install", "Install packages in a copy, or in a whole branch."),
    "remove": ("changing", "remove", "Remove packages in a copy, or in a whole branch."),
    "upgrade": ("changing", "upgrade", "Bring packages up to date in a copy, or in a whole branch."),
    "session": ("changing_sessions", "session", "Copies that were kept: list, enter, run, commit, discard."),
    "rebase": ("changing_trees", "rebase", "Put a snapshot on a changed parent, asking again what was asked of it."),
    "sync": ("changing_trees", "sync", "Bring everything below a changed snapshot up to it, all or none."),
    "diff": ("comparing", "diff", "What differs between two snapshots: packages, kernel, services, /etc, files."),
    "log": ("comparing", "log", "In which snapshots a path appeared, changed or went."),
    "deploy": ("deploying", "deploy", "Make a snapshot the next system to boot; the one before stays."),
    "rollback": ("deploying", "rollback", "Go back to the snapshot that booted before, or to the one named."),
    "pending": ("deploying_pending", "pending", "What boots next, what starts when that fails, what was found bad."),
    "cancel": ("deploying_pending", "cancel", "Take a pending deployment back."),
    "keep": ("deploying_pending", "keep", "Let a deployment count as good, and stay."),
    "etc": ("etc", "etc", "The /etc of a deployment: what differs, conflicts, bringing files back."),
    "delete": ("removing", "delete", "Delete snapshots and the deployments that start them."),
    "prune": ("retention", "prune", "Delete what a schedule no longer keeps."),
    "doctor": ("retention", "doctor", "What is lost, left over or foreign in a store; --fix mends what is safe."),
    "send": ("transfer", "send", "Send snapshots to a file, an image or another machine."),
    "receive": ("transfer", "receive", "Receive snapshots from a file or a pipe."),
    "export": ("transfer_archives", "export", "A snapshot as an OCI image or a tar archive."),
    "import": ("transfer_archives", "import_", "Make a snapshot of an OCI image or a tar archive."),
    "verify": ("transfer_checks", "verify", "Check that a snapshot is what its manifest says."),
    "repair": ("transfer_checks", "repair", "Mend a damaged snapshot from other copies of its files."),
    "status": ("status", "status", "What runs, what boots next, and what happened at the last boots."),
}

# what ast, ash, snapper and ostree call it (docs/snapshots.md)
WORDS = {
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
    "tree-upgrade": "upgrade --tree",
    "tree-rmpkg": "remove --tree",
    "tree-sync": "sync",
    "cleanup": "prune",
    "gc": "prune",
    "undeploy": "delete",
    "fsck": "verify --all",
    "fixdb": "doctor",
    "undochange": "rollback",
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__, words=WORDS)
def snapshot() -> None:
    """The tree of snapshots: create, run, deploy, roll back."""
