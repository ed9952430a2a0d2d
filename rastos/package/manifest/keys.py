"""Every key a manifest may have: one table for the reader, the JSON Schema and the documentation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

What = Literal[
    "text", "texts", "name", "names", "packages", "path", "whole", "yes", "choice", "versions", "siglevel", "setuid"
]
"""text: a string; texts: one or a list of them; names: a list of package names (patterns where the key says so);
packages: names, or tables of a declared package; versions: conditions such as ">=1, <2"."""


@dataclass(frozen=True)
class Key:
    """One key: its name, what its value is, what it is for; `table` are the keys of a table below it.

    `many` says how tables come: one, by name (`[sets.NAME]`), or in a list (`[[hooks]]`). A table with `value` has free
    names as keys and values of that kind.
    """

    name: str
    what: What | None
    help: str
    choices: tuple[str, ...] = ()
    table: tuple[Key, ...] = ()
    many: Literal["one", "named", "list"] = "one"
    value: What | None = None
    required: bool = False


KINDS = ("debian", "pacman", "local")
SOURCES = ("official", "local", "aur")
USAGES = ("all", "sync", "search", "install", "upgrade")
LEVELS = ("never", "optional", "required")

CONDITION = (
    Key("host", "texts", "host names or patterns"),
    Key("profile", "texts", "image profiles or patterns"),
    Key("arch", "texts", "architectures"),
)
WHEN = Key("when", None, "counts only where this holds", table=CONDITION)

PACKAGE = (
    Key("name", "name", "package, group or virtual name", required=True),
    Key("version", "versions", 'versions that will do: "3.2", ">=3, <4"'),
    Key("channel", "name", "only from this channel"),
    Key("source", "choice", "only from channels of this kind", choices=SOURCES),
    Key("reason", "text", "why it is declared; shown by plan and why"),
    WHEN,
)
SET = (
    Key("description", "text", "what the set is for"),
    Key("include", "names", "sets it builds on"),
    Key("packages", "packages", "what it holds"),
    Key("exclude", "names", "names or patterns left out of what the included sets bring"),
    WHEN,
)
CHANNEL = (
    Key("kind", "choice", "what kind of archive it is", choices=KINDS, required=True),
    Key("server", "texts", "addresses or folders, tried in order; $repo and $arch are replaced"),
    Key("url", "texts", "the same as server"),
    Key("suites", "names", "debian: the suites"),
    Key("components", "names", 'debian: the components (["main"])'),
    Key("keyring", "path", "file with the keys that sign it"),
    Key("siglevel", "siglevel", "never, optional, required, or pacman.conf's words"),
    Key("priority", "whole", "the lowest wins where two channels have a package (50)"),
    Key("cache_server", "texts", "pacman: asked first for packages, never for databases"),
    Key("usage", "texts", "pacman: sync, search, install, upgrade, all", choices=USAGES),
    Key("config", "path", "pacman: a pacman.conf that has this repository"),
    Key("mirrorlist", "path", "pacman: a file of Server lines"),
    Key("keyring_package", "name", "pacman: the package that brings the channel's keys"),
    Key("trusted", "texts", "fingerprints of the master keys that vouch for the keyring package"),
    Key("archive", "text", "address of a dated archive, with {date}"),
)
HOOK = (
    Key("name", "text", "what it is for"),
    Key("when", "choice", "before or after the transaction", choices=("pre", "post"), required=True),
    Key("on", "texts", "package names or patterns that set it off (all)"),
    Key("run", "texts", "the program and its arguments", required=True),
    Key("in_root", "yes", "run inside the tree (true) or on the host with the tree's path in RASTOS_ROOT (false)"),
)
MANIFEST = (
    Key("schema", "whole", "version of this format: 1"),
    Key("include", "texts", "further manifest files (patterns), relative to this one"),
    Key("use", "names", "the sets that make up the system (base, or the flat list)"),
    Key("packages", "packages", "the flat list: the set 'default'"),
    Key("exclude", "names", "names or patterns that are never installed, not even as a dependency"),
    Key("ignore", "names", "names or patterns that upgrades leave alone"),
    Key("hold", "names", "names or patterns that are never removed"),
    Key("undeclared", "choice", "what apply does with packages nobody declares", choices=("keep", "remove")),
    Key("no_extract", "texts", "paths that are never unpacked (patterns; ! takes one back)"),
    Key("no_upgrade", "texts", "paths that upgrades leave alone: the new file comes as .pacnew"),
    Key("overwrite", "texts", "paths that may be overwritten though another package or nobody owns them"),
    Key("setuid", "setuid", "allow, deny, or the paths that may be set-user-id or carry capabilities"),
    Key("prefer", None, "virtual name = the package that stands in", value="name"),
    Key("replace", None, "old = the package that may take its place, or false: never", value="name"),
    Key("pin", None, "name = versions that will do, for every channel", value="versions"),
    Key("sets", None, "named sets of packages", table=SET, many="named"),
    Key("channels", None, "where packages come from", table=CHANNEL, many="named"),
    Key("hooks", None, "programs run around a transaction", table=HOOK, many="list"),
)


def near(name: str, known: Iterable[str], label: str) -> str:
    """A next step: the nearest known names, or the list of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(f"'{item}'" for item in close) + "?"
    return f"{label}: {', '.join(sorted(names)[:12]) or 'none'}"
