"""Kernel profiles: `kernel/NAME.toml` files naming a base configuration and fragments in merge order.

Keys: name, summary, inherits (another profile: its fragments come first, its lists are added to), base (`allnoconfig`
or a `*_defconfig`), fragments, patches (a folder with a `series`), packages (beside the kernel: "headers", "debug"),
initramfs (modules that it always holds, beside what mounts root), command-line (parameters this kernel wants),
checks (what `kernel check` holds against it), [[may-drop]] {symbol, reason}, [[exception]] {check, subject, reason}
(findings that are meant), [[expected]] {version, objects} (measured object counts, the first estimate of the progress).

Fragments are looked up in fragments/ beside the profile's file, then in those of the other profile folders: a project's
profile may inherit shipped ones and use shipped fragments, and a file of its own goes before a shipped one of that name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from rastos.errors import UserError

DEFAULT_BASE = "allnoconfig"
CHECKS = ("containers", "hardening", "boot")
PACKAGES = ("headers", "debug")
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class MayDrop:
    """A requested symbol that some kernel versions don't have; `reason` says why that is acceptable."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """Objects that a complete build of kernel series `version` ("6.12") makes, as measured."""

    version: str
    objects: int


@dataclass(frozen=True, slots=True)
class Meant:
    """A finding of `check` about `subject` (a symbol or a parameter) that is meant, with the reason."""

    check: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """What to build: base configuration, fragments in merge order, accepted drops; what belongs to it beside the kernel.

    `ancestors` are the names of the profiles it inherits from, nearest first; `brought_by` says for each fragment which
    profile named it. `initramfs` names modules that the initramfs of an image always holds; empty where the profile boots
    without one (no modules).
    """

    name: str
    summary: str
    base: str
    fragments: tuple[Path, ...]
    may_drop: tuple[MayDrop, ...]
    expected: tuple[Expected, ...]
    path: Path
    ancestors: tuple[str, ...] = ()
    brought_by: tuple[str, ...] = ()
    patches: Path | None = None
    packages: tuple[str, ...] = ()
    initramfs: tuple[str, ...] = ()
    command_line: str = ""
    checks: tuple[str, ...] = CHECKS
    meant: tuple[Meant, ...] = ()

    @property
    def package(self) -> str:
        """Name of the pacman package that it becomes."""
        return f"linux-rastos-{self.name}"

    def brings(self, fragment: str) -> str:
        """The profile that named the fragment file `fragment`: this one or an ancestor; "" where it is none of theirs."""
        named = dict(zip((path.name for path in self.fragments), self.brought_by, strict=False))
        return named.get(fragment, "")

    def expected_objects(self, version: str) -> int | None:
        """The shipped object count for the series of kernel `version`, None where it was never measured."""
        return next((item.objects for item in self.expected if f"{version}.".startswith(f"{item.version}.")), None)


def profiles(search: Sequence[Path]) -> tuple[KernelProfile, ...]:
    """Every kernel profile in the profile folders `search`; the first folder that has a name wins."""
    files = _files(search)
    return tuple(_parse(files, search, name) for name in sorted(files))


def load_profile(name: str, search: Sequence[Path]) -> KernelProfile:
    """The profile `name`. Raises UserError for an unknown name (near matches named) and a malformed file."""
    files = _files(search)
    if name in files:
        return _parse(files, search, name)
    near = difflib.get_close_matches(name, files, n=1)
    known = ", ".join(sorted(files)) or "none"
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(f"there is no kernel profile '{name}'", next_step=f"{hint}known profiles: {known}")


def _files(search: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in search:
        for path in sorted((folder / "kernel").glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def _parse(files: Mapping[str, Path], search: Sequence[Path], name: str, below: tuple[str, ...] = ()) -> KernelProfile:
    path = files[name]
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"malformed TOML: {_located(path, error)}", next_step="correct the line named") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the profile: {error}", on=path, next_step="check the file") from error
    reader = _Reader(path, text, search)
    own = reader.profile(table)
    wanted = reader.inherited(table, files, (*below, name))
    return own if wanted is None else _joined(_parse(files, search, wanted, (*below, name)), own, table)


def _joined(parent: KernelProfile, own: KernelProfile, table: Mapping[str, object]) -> KernelProfile:
    """A profile with what it inherits: lists are added to, single values replaced where it names them."""
    added = tuple(path for path in own.fragments if path not in parent.fragments)
    return replace(
        own,
        base=own.base if "base" in table else parent.base,
        fragments=(*parent.fragments, *added),
        brought_by=(*parent.brought_by, *(own.name for _ in added)),
        may_drop=(*parent.may_drop, *own.may_drop),
        ancestors=(parent.name, *parent.ancestors),
        patches=own.patches or parent.patches,
        packages=tuple(dict.fromkeys((*parent.packages, *own.packages))),
        initramfs=tuple(dict.fromkeys((*parent.initramfs, *own.initramfs))),
        command_line=" ".join(filter(None, (parent.command_line, own.command_line))),
        checks=own.checks if "checks" in table else parent.checks,
        meant=(*parent.meant, *own.meant),
    )


def _located(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """`message (at line 3, column 9)` as `file:3:9: message`."""
    found = re.search(r"\s*\(at line (\d+), column (\d+)\)", str(error))
    if not found:
        return f"{path}: {error}"
    return f"{path}:{found[1]}:{found[2]}: {str(error)[: found.start()]}"


class _Reader:
    """Checks one file's keys and types; errors carry file:line:column of the key."""

    KEYS = (
        *("name", "summary", "inherits", "base", "fragments", "patches", "packages", "initramfs", "command-line"),
        *("checks", "may-drop", "exception", "expected"),
    )

    def __init__(self, path: Path, text: str, search: Sequence[Path]) -> None:
        self.path = path
        self.folders = tuple(dict.fromkeys((path.parent, *(folder / "kernel" for folder in search))))
        self.lines = text.splitlines()

    def profile(self, table: dict[str, Any]) -> KernelProfile:
        """The value, or a UserError."""
        for key in table:
            if key not in self.KEYS:
                near = difflib.get_close_matches(key, self.KEYS, n=1)
                self._fail(key, f"unknown key '{key}'", f"did you mean '{near[0]}'?" if near else "")
        name = self._text(table, "name", self.path.stem)
        if name != self.path.stem or not _NAME.fullmatch(name):
            self._fail("name", f"name is '{name}', expected '{self.path.stem}' as the file is called")
        base = self._text(table, "base", DEFAULT_BASE)
        if base != DEFAULT_BASE and not re.fullmatch(r"[A-Za-z0-9_.-]*defconfig", base):
            self._fail("base", f"base is '{base}', expected '{DEFAULT_BASE}' or the name of a defconfig")
        inherits = "inherits" in table
        fragments = self._fragments(table.get("fragments", [] if inherits else None), inherits)
        return KernelProfile(
            name=name,
            summary=self._text(table, "summary", ""),
            base=base,
            fragments=fragments,
            brought_by=(name,) * len(fragments),
            may_drop=tuple(
                MayDrop(self._text(item, "symbol").removeprefix("CONFIG_"), self._text(item, "reason"))
                for item in self._tables(table, "may-drop")
            ),
            expected=tuple(
                Expected(self._text(item, "version"), self._number(item, "objects"))
                for item in self._tables(table, "expected")
            ),
            path=self.path,
            patches=self._folder(table, "patches"),
            packages=self._names(table, "packages", PACKAGES),
            initramfs=self._names(table, "initramfs"),
            command_line=self._text(table, "command-line", ""),
            checks=self._names(table, "checks", CHECKS) if "checks" in table else CHECKS,
            meant=tuple(
                Meant(self._choice(item, "check", CHECKS), self._text(item, "subject"), self._text(item, "reason"))
                for item in self._tables(table, "exception")
            ),
        )

    def inherited(self, table: dict[str, Any], files: Mapping[str, Path], below: tuple[str, ...]) -> str | None:
        """The profile it inherits from, None for none. UserError: there is none of that name, or it leads back here."""
        if "inherits" not in table:
            return None
        wanted = self._text(table, "inherits")
        if wanted in below:
            self._fail("inherits", f"profiles inherit in a circle: {' → '.join((*below, wanted))}")
        if wanted not in files:
            near = difflib.get_close_matches(wanted, files, n=1)
            self._fail(
                "inherits", f"there is no kernel profile '{wanted}'", f"did you mean '{near[0]}'?" if near else ""
            )
        return wanted

    def _folder(self, table: dict[str, Any], key: str) -> Path | None:
        if key not in table:
            return None
        folder = self.path.parent / self._text(table, key)
        if not folder.is_dir():
            self._fail(key, f"there is no folder {folder}")
        return folder

    def _names(self, table: dict[str, Any], key: str, known: Sequence[str] = ()) -> tuple[str, ...]:
        names = table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._fail(key, f"'{key}' is {names!r}, expected a list of names")
        for name in names:
            if known and name not in known:
                self._fail(f'"{name}"', f"unknown name '{name}' in '{key}'", f"there are: {', '.join(known)}")
        return tuple(names)

    def _choice(self, table: dict[str, Any], key: str, known: Sequence[str]) -> str:
        value = self._text(table, key)
        if value not in known:
            self._fail(f'"{value}"', f"'{key}' is '{value}'", f"there are: {', '.join(known)}")
        return value

    def _fragments(self, names: object, inherits: bool) -> tuple[Path, ...]:
        if not isinstance(names, list) or not (names or inherits) or not all(isinstance(name, str) for name in names):
            self._fail("fragments", "fragments must be a list of names of files in fragments/, at least one")
        present: dict[str, Path] = {}
        for folder in self.folders:
            for path in sorted((folder / "fragments").glob("*.config")):
                present.setdefault(path.name.removesuffix(".config"), path)
        found = []
        for name in names:
            if name not in present:
                near = difflib.get_close_matches(name, present, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(present) or 'none'}"
                self._fail(f'"{name}"', f"there is no fragment '{name}' in fragments/", hint)
            found.append(present[name])
        return tuple(found)

    def _text(self, table: dict[str, Any], key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            self._fail(key, f"'{key}' is {value!r}, expected a text in quotes")
        return value

    def _number(self, table: dict[str, Any], key: str) -> int:
        value = table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self._fail(key, f"'{key}' is {value!r}, expected a whole number from 1")
        return value

    def _tables(self, table: dict[str, Any], key: str) -> list[dict[str, Any]]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._fail(key, f"'{key}' must be written as [[{key}]] tables")
        return value

    def _fail(self, key: str, what: str, hint: str = "") -> NoReturn:
        line, column = 1, 1
        for number, text in enumerate(self.lines, 1):
            found = re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", text.partition("#")[0])
            if found:
                line, column = number, found.start() + 1
                break
        raise UserError(f"{self.path}:{line}:{column}: {what}", next_step=hint or "correct the line named")
