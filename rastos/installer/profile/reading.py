"""One file of a profile: its keys and the kind of every value held against the table of keys. Every complaint names its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rastos.errors import UserError

from .keys import IMAGE_KEYS, ProfileKey, near
from .places import Path as Place
from .places import Places
from .words import PRIVATE, parse_size


@dataclass(frozen=True, slots=True)
class Given:
    """What one file says: values by key (tables as mappings, [[tables]] as mappings by identity), and where each stands."""

    path: Path
    values: dict[str, Any]
    origins: dict[str, str]


@dataclass(slots=True)
class Problems:
    """What is wrong, in the order in which it was seen; nothing stops at the first."""

    found: list[UserError] = field(default_factory=list)

    def add(self, what: str, on: object, next_step: str) -> None:
        """One complaint."""
        self.found.append(UserError(what, on=on, next_step=next_step))


def read_document(path: Path, problems: Problems, text: str | None = None) -> Given:
    """Read one file, or a `text` that is to be one. UserError where it isn't TOML; everything else goes to `problems`."""
    try:
        text = path.read_text(encoding="utf-8") if text is None else text
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        where = f"{path}:{found[1] if found else len((text or '').splitlines()) or 1}"
        reason = str(error).split(" (at ")[0]
        raise UserError(f"malformed TOML: {reason}", on=where, next_step="correct the line named") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the profile: {error}", on=path, next_step="check the file") from error
    document.pop("install", None)  # which disk, for `rastos install`: read by install/answers.py
    reader = _Reader(path, Places(text), problems)
    return Given(path, reader.table(IMAGE_KEYS, document, (), ()), reader.origins)


class _Reader:
    def __init__(self, path: Path, places: Places, problems: Problems) -> None:
        self.path = path
        self.places = places
        self.problems = problems
        self.origins: dict[str, str] = {}

    def complain(self, place: Place, what: str, next_step: str) -> None:
        self.problems.add(what, f"{self.path}:{self.places.line(place)}", next_step)

    def table(self, keys: tuple[ProfileKey, ...], table: Mapping[str, Any], place: Place, name: tuple[str, ...]) -> Any:
        """The values of a table; `place` is where it stands in the file, `name` what it is called in `origins`."""
        known = {key.name: key for key in keys}
        label = ".".join(str(part) for part in place if isinstance(part, str))
        found: dict[str, Any] = {}
        for word, value in table.items():
            if word not in known:
                dotted = f"{label}.{word}" if label else word
                self.complain((*place, word), f"unknown key '{dotted}'", near(word, known))
                continue
            self.origins[".".join((*name, word))] = f"{self.path}:{self.places.line((*place, word))}"
            try:
                found[word] = self.value(known[word], value, (*place, word), (*name, word))
            except UserError as error:
                self.complain((*place, word), error.what, error.next_step)
        for key in keys:
            if key.required and key.name not in table:
                self.complain(place, f"[[{label}]] lacks {key.name}", f"write {key.name} = …: {key.help}")
        return found

    def value(self, key: ProfileKey, value: Any, place: Place, name: tuple[str, ...]) -> Any:
        """A value as its kind wants it. UserError where it is of another kind."""
        if key.what == "table":
            if not isinstance(value, dict):
                raise UserError(f"{key.name} is {_kind(value)}, expected a table", next_step=f"write [{key.name}]")
            return self.table(key.table, value, place, name)
        if key.what == "tables":
            return self.tables(key, value, place, name)
        if key.what == "values":
            return self.free(key, value, place, name)
        if key.what == "texts":
            return self.texts(key, value, place, name)
        return _single(key, value)

    def tables(self, key: ProfileKey, value: Any, place: Place, name: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise UserError(f"{key.name} are tables", next_step=f"write [[{key.name}]] and {key.identity[0]} = …")
        found: dict[str, Any] = {}
        for index, item in enumerate(value):
            label = next((item[word] for word in key.identity if item.get(word)), None)
            if not isinstance(label, str):
                word = " or ".join(key.identity)
                self.complain((*place, index), f"[[{key.name}]] lacks {word}", f"write {key.identity[0]} = …")
            elif label in found:
                what = f"{key.name} has '{label}' twice"
                self.complain((*place, index), what, "say it in one table, or give the other another name")
            else:
                self.origins[".".join((*name, label))] = f"{self.path}:{self.places.line((*place, index))}"
                found[label] = self.table(key.table, item, (*place, index), (*name, label))
        return found

    def texts(self, key: ProfileKey, value: Any, place: Place, name: tuple[str, ...]) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and any(isinstance(item, str) and "PRIVATE KEY" in item for item in items):
            raise UserError(PRIVATE, next_step="put in the one line of the .pub file")  # which is shown to nobody
        if not isinstance(items, list) or not all(isinstance(item, str) and "\n" not in item.strip() for item in items):
            what = f"{key.name} is {_kind(value)}, expected a list of texts"
            raise UserError(what, next_step=f'write {key.name} = ["…"]')
        for item in items:
            line = self.places.line((*place, item.strip()))
            self.origins.setdefault(".".join((*name, item.strip())), f"{self.path}:{line}")
        return tuple(item.strip() for item in items)

    def free(self, key: ProfileKey, value: Any, place: Place, name: tuple[str, ...]) -> dict[str, str]:
        if not isinstance(value, dict):
            raise UserError(f"{key.name} is {_kind(value)}, expected a table", next_step=f"write [{key.name}]")
        found: dict[str, str] = {}
        for word, item in value.items():
            here, called = (*place, word), (*name, word)
            if isinstance(item, dict):  # vm.swappiness = 10 without quotes is a table in a table
                below = self.free(key, item, here, called)
                found |= {f"{word}.{rest}": text for rest, text in below.items()}
            elif isinstance(item, bool) or not isinstance(item, str | int) or "\n" in str(item):
                what = f"{key.name}: {word} is {_kind(item)}, expected a text or a whole number"
                self.complain(here, what, f'write {word} = "…" or a number')
            else:
                self.origins[".".join(called)] = f"{self.path}:{self.places.line(here)}"
                found[word] = str(item)
        return found


def _single(key: ProfileKey, value: Any) -> Any:
    if key.what == "yes":
        if not isinstance(value, bool):
            what = f"{key.name} is {value!r}, expected true or false"
            raise UserError(what, next_step=f"write {key.name} = true")
    elif key.what == "whole":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            what = f"{key.name} is {value!r}, expected a whole number"
            raise UserError(what, next_step=f"write {key.name} = 1000, without quotes")
    elif key.what == "size":
        return parse_size(value, what=key.name)
    elif key.what == "mode":
        return _mode(key, value)
    elif key.what == "choice":
        return _choice(key, value)
    elif not isinstance(value, str) or (key.what == "text" and "\n" in value.strip()):
        what = f"{key.name} is {_kind(value)}, expected {'one line of text' if isinstance(value, str) else 'text'}"
        raise UserError(what, next_step=f'write {key.name} = "…"')
    return value.strip() if key.what == "text" else value


def _choice(key: ProfileKey, value: Any) -> str:
    word = ("yes" if value else "no") if isinstance(value, bool) else value
    if word not in key.choices:
        shown = [{"yes": "true", "no": "false"}.get(item, f'"{item}"') for item in key.choices]
        raise UserError(f"unknown {key.name} '{value}'", next_step=f"use {', '.join(shown[:-1])} or {shown[-1]}")
    return str(word)


def _mode(key: ProfileKey, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch("[0-7]{3,4}", value):
        return int(value, 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    raise UserError(f"{key.name} is {value!r}, expected permissions", next_step=f'write {key.name} = "0644"')


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return f"{value!r}" if isinstance(value, str | int | float) else names.get(type(value), "of another kind")
