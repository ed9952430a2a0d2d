"""`packages.toml`: what a system shall hold, in named sets, and the channels it comes from.

    schema = 1
    prefer = { awk = "mawk" }            # which package stands in for a virtual name

    [sets.base]
    packages = ["bash", "systemd"]

    [sets.server]
    include = ["base"]
    packages = ["openssh-server"]

    [channels.extra]
    kind = "pacman"
    server = "https://example.org/$repo/os/$arch"

A flat list (`packages = [...]` at the top) is a valid manifest too: it is the set `default`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rastos.errors import UserError

Kind = Literal["debian", "pacman", "local"]
KINDS: tuple[Kind, ...] = ("debian", "pacman", "local")
LEVELS = ("never", "optional", "required")
DEFAULT_SET = "default"
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+:-]*\Z")


@dataclass(frozen=True)
class PackageSet:
    """A named list of packages; `include` names sets it builds on."""

    name: str
    packages: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class ChannelSpec:
    """A channel as declared. Lower `priority` wins; `siglevel` is (database, packages) as in pacman.conf."""

    name: str
    kind: Kind
    server: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    keyring: Path | None = None
    siglevel: tuple[str, str] = ("optional", "required")
    priority: int = 50
    cache_server: tuple[str, ...] = ()
    usage: tuple[str, ...] = ("all",)
    config: Path | None = None
    mirrorlist: Path | None = None
    keyring_package: str = ""
    trusted: tuple[str, ...] = ()
    archive: str = ""


@dataclass(frozen=True)
class Manifest:
    """A read manifest. No channels declared: the host's own are used."""

    path: Path
    sets: Mapping[str, PackageSet]
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    prefer: Mapping[str, str] = field(default_factory=dict)
    schema: int = 1

    def select(self, names: Iterable[str]) -> tuple[str, ...]:
        """Every package of these sets, includes first, each once. UserError: unknown set, or includes in a circle."""
        found: dict[str, None] = {}
        for name in names:
            self._collect(name, (), found)
        return tuple(found)

    def _collect(self, name: str, trail: tuple[str, ...], found: dict[str, None]) -> None:
        if name in trail:
            circle = " → ".join([*trail[trail.index(name) :], name])
            raise UserError(
                f"sets include each other in a circle: {circle}", on=self.path, next_step="remove one include"
            )
        chosen = self.sets.get(name)
        if chosen is None:
            raise UserError(
                f"there is no package set '{name}'", on=self.path, next_step=near(name, self.sets, "sets there are")
            )
        for other in chosen.include:
            self._collect(other, (*trail, name), found)
        found.update(dict.fromkeys(chosen.packages))


def near(name: str, known: Iterable[str], label: str) -> str:
    """A next step: the nearest known names, or the list of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(f"'{item}'" for item in close) + "?"
    return f"{label}: {', '.join(sorted(names)[:12]) or 'none'}"


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest. UserError with file:line:column, what was expected, and near matches."""
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            "there is no package manifest", on=path, next_step="name one: --manifest packages.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the manifest: {error}", on=path, next_step="check the file") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        last = text.splitlines() or [""]
        where = f"{path}:{found[1]}:{found[2]}" if found else f"{path}:{len(last)}:{len(last[-1]) + 1}"
        reason = str(error).split(" (at ")[0]
        raise UserError(f"malformed TOML: {reason}", on=where, next_step="correct that line (TOML 1.0)") from error
    return _Reader(path, text).manifest(document)


class _Reader:
    """Checks a parsed document; `tomllib` keeps no positions, so the text is searched for the offender."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def fail(self, what: str, offender: str, next_step: str, table: str = "") -> UserError:
        line, column = self._position(offender, table)
        return UserError(what, on=f"{self.path}:{line}:{column}", next_step=next_step)

    def _position(self, offender: str, table: str) -> tuple[int, int]:
        start = 0
        if table:
            heads = [n for n, line in enumerate(self.lines) if re.match(rf"\s*\[+\s*{re.escape(table)}\s*\]", line)]
            start = heads[0] if heads else 0
        pattern = re.compile(rf"(?<![\w.+-]){re.escape(offender)}(?![\w+-])")
        for number in [*range(start, len(self.lines)), *range(start)]:
            found = pattern.search(self.lines[number].split(" #")[0])
            if found:
                return number + 1, found.start() + 1
        return start + 1, 1

    def manifest(self, document: Mapping[str, Any]) -> Manifest:
        self.keys(document, ("schema", "packages", "sets", "channels", "prefer"), "")
        schema = document.get("schema", 1)
        if schema != 1:
            raise self.fail(
                f"schema is {schema!r}, expected 1", "schema", "use a rastos that knows this schema, or schema = 1"
            )
        sets = {}
        if "packages" in document:
            packages = self.names(document["packages"], "packages", "")
            sets[DEFAULT_SET] = PackageSet(DEFAULT_SET, packages)
        for name, table in self.table(document, "sets").items():
            if name in sets:
                raise self.fail(f"the set '{name}' is there twice", name, "rename one of them", f"sets.{name}")
            sets[name] = self.package_set(name, table)
        for chosen in sets.values():
            for other in chosen.include:
                if other not in sets:
                    where = f"sets.{chosen.name}"
                    raise self.fail(
                        f"'{chosen.name}' includes an unknown set '{other}'", other, near(other, sets, "sets"), where
                    )
        channels = {name: self.channel(name, table) for name, table in self.table(document, "channels").items()}
        prefer = self.table(document, "prefer")
        for virtual, package in prefer.items():
            if not isinstance(package, str):
                raise self.fail(
                    f"prefer.{virtual} is {_kind(package)}, expected a package name", virtual, 'prefer.awk = "mawk"'
                )
        manifest = Manifest(self.path, sets, channels, dict(prefer))
        manifest.select(sets)
        return manifest

    def table(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(
                f"{key} is {_kind(value)}, expected a table", key, f"write [{key}.NAME] with its keys below"
            )
        return value

    def keys(self, table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
        for key in table:
            if key not in known:
                label = f"[{where}] has an unknown key '{key}'" if where else f"unknown key '{key}'"
                raise self.fail(label, key, near(key, known, "keys it may have"), where)

    def names(self, value: Any, key: str, where: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.fail(
                f"{key} is {_kind(value)}, expected a list of names", key, f'{key} = ["name", "name"]', where
            )
        for item in value:
            if not isinstance(item, str) or not _NAME.match(item):
                text = item if isinstance(item, str) else str(item)
                raise self.fail(f"{key} holds {text!r}, expected a name", text or key, "write names as strings", where)
        return tuple(dict.fromkeys(value))

    def package_set(self, name: str, table: Any) -> PackageSet:
        where = f"sets.{name}"
        if isinstance(table, list):
            return PackageSet(name, self.names(table, name, "sets"))
        if not isinstance(table, dict):
            raise self.fail(f"{where} is {_kind(table)}, expected a table or a list", name, f"write [{where}]", "sets")
        self.keys(table, ("packages", "include", "description"), where)
        packages = self.names(table.get("packages", []), "packages", where)
        include = self.names(table.get("include", []), "include", where)
        return PackageSet(name, packages, include, str(table.get("description", "")))

    def channel(self, name: str, table: Any) -> ChannelSpec:
        where = f"channels.{name}"
        if not isinstance(table, dict):
            raise self.fail(f"{where} is {_kind(table)}, expected a table", name, f"write [{where}]", "channels")
        known = ("kind", "server", "url", "suites", "components", "keyring", "siglevel", "priority")
        self.keys(table, known, where)
        kind = table.get("kind")
        if kind not in KINDS:
            step = near(str(kind), KINDS, "kinds") if kind else f"kinds: {', '.join(KINDS)}"
            raise self.fail(f"{where}.kind is {kind!r}, expected one of {', '.join(KINDS)}", "kind", step, where)
        server = table.get("server", table.get("url", []))
        servers = (server,) if isinstance(server, str) else tuple(server) if isinstance(server, list) else None
        if servers is None or not all(isinstance(item, str) for item in servers):
            raise self.fail(
                f"{where}.server is {_kind(server)}, expected an address or a list", "server", "give a URL", where
            )
        if kind == "pacman" and not servers:
            raise self.fail(f"{where} names no server", name, 'server = "https://…/$repo/os/$arch" or a folder', where)
        priority = table.get("priority", 50)
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise self.fail(
                f"{where}.priority is {_kind(priority)}, expected a whole number", "priority", "1 wins over 50", where
            )
        return ChannelSpec(
            name=name,
            kind=kind,
            server=servers,
            suites=self.names(table.get("suites", []), "suites", where),
            components=self.names(table.get("components", ["main"]), "components", where),
            keyring=self.folder(table.get("keyring"), where),
            siglevel=self.siglevel(table.get("siglevel"), where),
            priority=priority,
        )

    def folder(self, value: Any, where: str) -> Path | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.fail(
                f"{where}.keyring is {_kind(value)}, expected a path", "keyring", "give a keyring file", where
            )
        return self.path.parent / value

    def siglevel(self, value: Any, where: str) -> tuple[str, str]:
        """`"required"` for both, or pacman.conf's words: `"PackageRequired DatabaseOptional"`."""
        levels = ["optional", "required"]
        if value is None:
            return levels[0], levels[1]
        for word in str(value).split():
            for prefix, places in (("database", (0,)), ("package", (1,)), ("", (0, 1))):
                level = word.lower().removeprefix(prefix)
                if word.lower().startswith(prefix) and level in LEVELS:
                    for place in places:
                        levels[place] = level
                    break
            else:
                expected = "never, optional or required, also with Package or Database before it"
                raise self.fail(
                    f"{where}.siglevel has '{word}', expected {expected}", word, near(word, LEVELS, "levels"), where
                )
        return levels[0], levels[1]


def _kind(value: object) -> str:
    names = {
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), type(value).__name__)
