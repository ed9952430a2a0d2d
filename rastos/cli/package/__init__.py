"""`rastos package`: declare, plan, install, look, keep. One module per kind of command, imported when it is called."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "plan": ("change", "plan", "Show what a change comes to, and why each package is there."),
    "apply": ("change", "apply", "Make a tree hold what is declared or named, by libalpm."),
    "add": ("declare", "add", "Declare packages in packages.toml."),
    "remove": ("declare", "remove", "Take packages out of packages.toml."),
    "import": ("declare", "import_", "Write a manifest from what is installed."),
    "schema": ("declare", "schema", "The manifest's JSON Schema, for editors."),
    "lock": ("lock", "lock", "Write packages.lock: exact versions and digests of everything declared."),
    "fetch": ("lock", "fetch", "Fill a folder with exactly the lockfile's packages."),
    "list": ("query", "list_", "What is installed in a tree."),
    "files": ("inspect", "files_", "The paths an installed package owns."),
    "owner": ("inspect", "owner", "Which package owns a path."),
    "why": ("inspect", "why", "Why a package is there, and what would break without it."),
    "tree": ("inspect", "tree", "A package's dependencies as a tree."),
    "orphans": ("inspect", "orphans", "Dependencies that nobody needs any more."),
    "verify": ("check", "verify", "Installed files against what their packages recorded."),
    "digest": ("check", "digest", "The digest of a whole tree."),
    "clean": ("check", "clean", "Delete cached package files that nobody needs."),
    "config": ("config_files", "config", "Files like .pacnew and .pacsave: list, compare, merge."),
    "aur": ("aur", "aur", "Recipes of the AUR: search, read, build."),
    "search": ("query", "search", "Find packages of the channels by name and description."),
    "info": ("query", "info", "Everything known of one package."),
    "keys": ("keys", "keys", "Whom the channels trust: list, import, trust, refresh."),
    "repo": ("repo", "repo", "The repository of packages built here: add, remove, list, sign, serve."),
    "history": ("history", "show_history", "Who changed which packages, when, and how it ended."),
    "undo": ("history", "undo", "Bring a tree back to what it was before a change."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def package() -> None:
    """Declare, plan and install packages; look at what is there; undo."""
