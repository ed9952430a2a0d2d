"""Editing a manifest in place: comments, order and layout stay (tomlkit)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import UserError

from .keys import near
from .model import DEFAULT_SET
from .position import read_toml
from .reader import load_manifest


@dataclass(frozen=True)
class Edit:
    """What an edit did: per set the names added and removed, and the file's new text."""

    path: Path
    text: str
    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()


def add_packages(path: Path, names: Sequence[str], *, into: str = "", version: str = "", reason: str = "") -> Edit:
    """Declare packages in a set (none named: the flat list, or the last of the sets in use). A new set is made.

    UserError: a malformed name or version (with its place), nothing to add to.
    """
    document, manifest = _open(path), load_manifest(path)
    chosen = into or (DEFAULT_SET if DEFAULT_SET in manifest.sets else (manifest.used_sets or ("base",))[-1])
    array = _array(document, chosen)
    there = {_name(item) for item in array}
    added = []
    for name in dict.fromkeys(names):
        if name in there and not version:
            continue
        if name in there:
            del array[[_name(item) for item in array].index(name)]
        _append(array, _entry(name, version, reason))
        added.append((chosen, name))
    return _checked(Edit(path, document.as_string(), added=tuple(added)))


def remove_packages(path: Path, names: Sequence[str], *, out_of: str = "") -> Edit:
    """Take packages out of a set, or of every set. UserError: one of them is declared nowhere (with near names)."""
    document, manifest = _open(path), load_manifest(path)
    removed = []
    for chosen in [out_of] if out_of else list(manifest.sets):
        if chosen not in manifest.sets:
            step = near(chosen, manifest.sets, "sets there are")
            raise UserError(f"there is no package set '{chosen}'", on=path, next_step=step)
        array = _array(document, chosen, make=False)
        for name in dict.fromkeys(names):
            places = [number for number, item in enumerate(array) if _name(item) == name]
            for number in reversed(places):
                del array[number]
                removed.append((chosen, name))
    missing = [name for name in names if name not in {name for _, name in removed}]
    if missing:
        known = {package.name for chosen in manifest.sets.values() for package in chosen.packages}
        step = near(missing[0], known, "declared are")
        raise UserError(f"'{missing[0]}' is not declared", on=path, next_step=step)
    return _checked(Edit(path, document.as_string(), removed=tuple(removed)))


def save(edit: Edit) -> None:
    """Write an edit's text; the file is replaced at once, its mode kept."""
    from rastos.host import write_atomic

    mode = edit.path.stat().st_mode & 0o7777 if edit.path.exists() else 0o644
    write_atomic(edit.path.resolve(), edit.text.encode(), mode=mode)


def _open(path: Path) -> Any:
    import tomlkit

    text, _ = read_toml(path)
    return tomlkit.parse(text)


def _checked(edit: Edit) -> Edit:
    """Read the new text as a manifest before anybody gets it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        # includes count from the real place, so only this file's own words are checked here
        trial = Path(folder) / edit.path.name
        trial.write_text(edit.text, encoding="utf-8")
        try:
            _, document = read_toml(trial)
            if "include" not in document:
                load_manifest(trial)
        except UserError as error:
            error.on = error.on.replace(str(trial), str(edit.path))
            raise
    return edit


def _array(document: Any, chosen: str, *, make: bool = True) -> Any:
    import tomlkit

    if chosen == DEFAULT_SET and "packages" in document:
        return document["packages"]
    sets = document.get("sets")
    table = sets.get(chosen) if sets is not None else None
    if isinstance(table, list):
        return table
    if table is None:
        if not make:
            return []
        if sets is None:
            sets = document["sets"] = tomlkit.table(is_super_table=True)
        table = sets[chosen] = tomlkit.table()
    if "packages" not in table:
        if not make:
            return []
        table["packages"] = tomlkit.array()
    return table["packages"]


def _append(array: Any, entry: Any) -> None:
    if "\n" in array.as_string():
        array.add_line(entry, indent="  ", comment=None)
    else:
        array.append(entry)


def _entry(name: str, version: str, reason: str) -> Any:
    import tomlkit

    if not (version or reason):
        return name
    table = tomlkit.inline_table()
    table["name"] = name
    for key, value in (("version", version), ("reason", reason)):
        if value:
            table[key] = value
    return table


def _name(item: Any) -> str:
    text = str(item["name"]) if isinstance(item, dict) else str(item)
    return text.partition("/")[2].strip() or text if "/" in text else _bare(text)


def _bare(text: str) -> str:
    import re

    return re.split(r"[<>=]", text, maxsplit=1)[0].strip()


def sets_text(sets: Iterable[tuple[str, str, Sequence[tuple[str, str]]]], head: str) -> str:
    """A new manifest: sets of (name, description, [(package, comment)])."""
    import tomlkit

    document = tomlkit.document()
    for line in head.splitlines():
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    document["schema"] = 1
    chosen = list(sets)
    document["use"] = [name for name, _, _ in chosen]
    tables = tomlkit.table(is_super_table=True)
    for name, description, packages in chosen:
        table = tomlkit.table()
        table["description"] = description
        array = tomlkit.array()
        for package, comment in packages:
            array.add_line(package, indent="  ", comment=comment or None)
        array.add_line(indent="")
        table["packages"] = array
        tables[name] = table
    document["sets"] = tables
    return document.as_string()
