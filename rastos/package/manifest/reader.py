"""Reading a manifest: every value checked against the table of keys, errors with file, line, column and near names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rastos.errors import UserError

from .keys import CHANNEL, CONDITION, HOOK, LEVELS, MANIFEST, PACKAGE, SET, Key, near
from .model import (
    ALWAYS,
    DEFAULT_SET,
    ChannelSpec,
    Condition,
    Constraint,
    DeclaredPackage,
    HookSpec,
    Manifest,
    PackageSet,
)
from .position import Position, read_toml

_NAME = re.compile(r"[A-Za-z0-9@_+*?\[][A-Za-z0-9@._+:*?\[\]!/-]*\Z")
_CONSTRAINT = re.compile(r"(<=|>=|==?|<|>)?\s*((?=.*\d)[A-Za-z0-9][A-Za-z0-9.+~:_-]*)\Z")
_SIGNATURE_WORDS = ("trustedonly", "trustall")
_LISTS = ("use", "exclude", "ignore", "hold", "no_extract", "no_upgrade", "overwrite", "hooks")
_TABLES = ("sets", "channels", "prefer", "replace", "pin")


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest and what it includes. UserError with file:line:column and what was expected."""
    return _load(path, ())


def _load(path: Path, trail: tuple[Path, ...]) -> Manifest:
    text, document = read_toml(path)
    reader = _Reader(path, Position(path, text))
    manifest = reader.manifest(document)
    for pattern in reader.texts(document.get("include", []), "include", ""):
        files = sorted(path.parent.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not files:
            raise reader.fail(f"include names no file: '{pattern}'", pattern, "correct the path, it counts from here")
        for file in files:
            if file.resolve() in (*trail, path.resolve()):
                raise reader.fail(f"manifests include each other: {file}", pattern, "remove one include")
            manifest = _merged(manifest, _load(file, (*trail, path.resolve())), reader, pattern)
    if not trail:
        reader.check_sets(manifest)
    return manifest


def _merged(one: Manifest, two: Manifest, reader: _Reader, pattern: str) -> Manifest:
    values: dict[str, Any] = {name: (*getattr(one, name), *getattr(two, name)) for name in _LISTS}
    for name in _TABLES:
        first, second = getattr(one, name), getattr(two, name)
        twice = [key for key in first if key in second and first[key] != second[key]]
        if twice:
            raise reader.fail(
                f"{name}.{twice[0]} is here and in {two.path}", pattern, "say it in one place; rename the other"
            )
        values[name] = {**second, **first}
    return replace(one, **values)


class _Reader:
    def __init__(self, path: Path, position: Position) -> None:
        self.path = path
        self.position = position

    def fail(self, what: str, offender: str, next_step: str, table: str = "") -> UserError:
        return UserError(what, on=self.position.of(offender, table), next_step=next_step)

    def manifest(self, document: Mapping[str, Any]) -> Manifest:
        self.keys(document, MANIFEST, "")
        schema = document.get("schema", 1)
        if schema != 1 or isinstance(schema, bool):
            raise self.fail(
                f"schema is {schema!r}, expected 1", "schema", "use a rastos that knows this schema, or schema = 1"
            )
        values = {
            key.name: self.value(key, document[key.name], "")
            for key in MANIFEST
            if key.what is not None and key.name in document and key.name not in ("schema", "include", "packages")
        }
        sets = {}
        if "packages" in document:
            sets[DEFAULT_SET] = PackageSet(DEFAULT_SET, self.packages(document["packages"], "packages", ""))
        for name, table in self.table(document, "sets").items():
            if name in sets:
                raise self.fail(f"the set '{name}' is there twice", name, "rename one of them", f"sets.{name}")
            sets[name] = self.package_set(name, table)
        successors = self.table(document, "replace")
        return Manifest(
            path=self.path,
            sets=sets,
            channels={name: self.channel(name, table) for name, table in self.table(document, "channels").items()},
            prefer={
                name: self.name(item, f"prefer.{name}", name) for name, item in self.table(document, "prefer").items()
            },
            replace={
                old: "" if new is False else self.name(new, f"replace.{old}", old) for old, new in successors.items()
            },
            pin={name: self.versions(text, name, "pin") for name, text in self.table(document, "pin").items()},
            hooks=self.hooks(document.get("hooks", [])),
            **values,
        )

    def check_sets(self, manifest: Manifest) -> None:
        """Names of sets, once all files are read."""
        for chosen in manifest.sets.values():
            for other in chosen.include:
                if other not in manifest.sets:
                    what = f"'{chosen.name}' includes an unknown set '{other}'"
                    raise self.fail(what, other, near(other, manifest.sets, "sets"), f"sets.{chosen.name}")
        for name in manifest.use:
            if name not in manifest.sets:
                raise self.fail(f"use names an unknown set '{name}'", name, near(name, manifest.sets, "sets"))
        manifest.select(manifest.sets)

    # tables

    def table(self, document: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            label = f"{where}.{key}" if where else key
            raise self.fail(
                f"{label} is {_kind(value)}, expected a table", key, f"write [{label}.NAME] with its keys below", where
            )
        return value

    def keys(self, table: Mapping[str, Any], known: Sequence[Key], where: str) -> None:
        for key in table:
            if key not in (names := [item.name for item in known]):
                label = f"[{where}] has an unknown key '{key}'" if where else f"unknown key '{key}'"
                raise self.fail(label, key, near(key, names, "keys it may have"), where)
        for item in known:
            if item.required and item.name not in table:
                step = f"{item.name} = {' or '.join(item.choices) or item.help}"
                raise self.fail(f"[{where}] lacks '{item.name}'", where.split(".")[-1], step, where)

    def values(self, table: Mapping[str, Any], known: Sequence[Key], where: str) -> dict[str, Any]:
        self.keys(table, known, where)
        return {k.name: self.value(k, table[k.name], where) for k in known if k.what and k.name in table}

    def package_set(self, name: str, table: Any) -> PackageSet:
        where = f"sets.{name}"
        if isinstance(table, list):
            return PackageSet(name, self.packages(table, name, "sets"))
        if not isinstance(table, dict):
            raise self.fail(f"{where} is {_kind(table)}, expected a table or a list", name, f"write [{where}]", "sets")
        return PackageSet(name, **self.values(table, SET, where), when=self.when(table, where))

    def when(self, table: Mapping[str, Any], where: str) -> Condition:
        return (
            Condition(**self.values(self.table(table, "when", where), CONDITION, where)) if "when" in table else ALWAYS
        )

    def channel(self, name: str, table: Any) -> ChannelSpec:
        where = f"channels.{name}"
        if not isinstance(table, dict):
            raise self.fail(f"{where} is {_kind(table)}, expected a table", name, f"write [{where}]", "channels")
        values = self.values(table, CHANNEL, where)
        url = values.pop("url", ())
        spec = ChannelSpec(name=name, **{"server": url, **values})
        if spec.kind == "pacman" and not (spec.server or spec.config or spec.mirrorlist):
            step = 'server = "https://…/$repo/os/$arch" or a folder; or mirrorlist, or config (a pacman.conf)'
            raise self.fail(f"{where} names no server", name, step, where)
        if spec.kind == "local" and not spec.server:
            raise self.fail(f"{where} names no folder", name, 'server = "/path/of/the/repository"', where)
        for number in spec.trusted:
            if not re.fullmatch(r"[0-9A-Fa-f]{40}", number.replace(" ", "")):
                step = "give whole fingerprints, 40 hexadecimal digits: short ids can be forged"
                raise self.fail(f"{where}.trusted holds '{number}', expected a fingerprint", number, step, where)
        return spec

    def hooks(self, value: Any) -> tuple[HookSpec, ...]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(f"hooks is {_kind(value)}, expected tables", "hooks", "write [[hooks]] with keys below")
        return tuple(HookSpec(**self.values(item, HOOK, "hooks")) for item in value)

    # values

    def value(self, key: Key, value: Any, where: str) -> Any:
        label = f"{where}.{key.name}" if where else key.name
        what = key.what
        if what == "choice":
            if value not in key.choices:
                step = near(str(value), key.choices, "choices")
                expected = f"expected one of {', '.join(key.choices)}"
                raise self.fail(f"{label} is {value!r}, {expected}", key.name, step, where)
            return value
        if what == "texts":
            found = self.texts(value, key.name, where)
            wrong = [text for text in found if key.choices and text.lower() not in key.choices]
            if wrong:
                step = near(wrong[0], key.choices, "choices")
                raise self.fail(f"{label} has '{wrong[0]}'", wrong[0], step, where)
            return tuple(text.lower() for text in found) if key.choices else found
        if what == "names":
            return self.names(value, key.name, where)
        if what == "packages":
            return self.packages(value, key.name, where)
        if what == "versions":
            return self.versions(value, key.name, where)
        if what == "siglevel":
            return self.siglevel(value, where)
        if what == "setuid":
            return self.texts(value, key.name, where)
        if what == "name":
            return self.name(value, label, key.name, where)
        types: dict[str, tuple[type, str]] = {
            "text": (str, "a string"),
            "path": (str, "a path"),
            "whole": (int, "a whole number"),
        }
        kind, words = types.get(str(what), (bool, "true or false"))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.fail(f"{label} is {_kind(value)}, expected {words}", key.name, f"{key.name}: {key.help}", where)
        return self.path.parent / str(value) if what == "path" else value

    def texts(self, value: Any, key: str, where: str) -> tuple[str, ...]:
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            label = f"{where}.{key}" if where else key
            raise self.fail(
                f"{label} is {_kind(value)}, expected a string or a list of them", key, "write strings", where
            )
        return tuple(found)

    def names(self, value: Any, key: str, where: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.fail(
                f"{key} is {_kind(value)}, expected a list of names", key, f'{key} = ["name", "name"]', where
            )
        return tuple(dict.fromkeys(self.name(item, key, key, where) for item in value))

    def name(self, item: Any, label: str, key: str, where: str = "") -> str:
        if not isinstance(item, str) or not _NAME.match(item) or ".." in item.split("/"):
            said = repr(item) if isinstance(item, str) else _kind(item)
            offender = item if isinstance(item, str) and item else key
            raise self.fail(f"{label} holds {said}, expected a name", offender, "write names as strings", where)
        return item

    def packages(self, value: Any, key: str, where: str) -> tuple[DeclaredPackage, ...]:
        if not isinstance(value, list):
            raise self.fail(
                f"{key} is {_kind(value)}, expected a list of names", key, f'{key} = ["name", "name"]', where
            )
        found: dict[tuple[str, Condition], DeclaredPackage] = {}
        for item in value:
            package = self.package(item, key, where)
            found.setdefault((package.name, package.when), package)
        return tuple(found.values())

    def package(self, item: Any, key: str, where: str) -> DeclaredPackage:
        if isinstance(item, dict):
            return DeclaredPackage(**self.values(item, PACKAGE, where), when=self.when(item, where))
        text = self.split_version(item) if isinstance(item, str) else (item, "")
        channel, slash, name = str(text[0]).partition("/")
        checked = self.name(name if slash else text[0], key, key, where)
        version = self.versions(text[1], str(item), where) if text[1] else ()
        return DeclaredPackage(checked, version, self.name(channel, key, key, where) if slash else "")

    def split_version(self, text: str) -> tuple[str, str]:
        found = re.match(r"([^<>=]+?)\s*([<>=].*)", text)
        return (found[1], found[2]) if found else (text, "")

    def versions(self, value: Any, key: str, where: str) -> tuple[Constraint, ...]:
        parts = value.split(",") if isinstance(value, str) else [""]
        found = [_CONSTRAINT.match(part.strip()) for part in parts]
        if not all(found):
            step = 'write "1.2" for exactly that, or ">=1.2", or ">=1, <2"'
            raise self.fail(f"{key} is {value!r}, expected versions", key, step, where)
        return tuple(Constraint((item[1] or "=").replace("==", "="), item[2]) for item in found if item)

    def siglevel(self, value: Any, where: str) -> tuple[str, str]:
        """`"required"` for both, or pacman.conf's words: `"PackageRequired DatabaseOptional"`."""
        levels = ["optional", "required"]
        for word in str(value).split():
            for prefix, places in (("database", (0,)), ("package", (1,)), ("", (0, 1))):
                level = word.lower().removeprefix(prefix)
                if word.lower().startswith(prefix) and level in LEVELS:
                    for place in places:
                        levels[place] = level
                    break
                if level in _SIGNATURE_WORDS:
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
