"""A file of checks (docs/image-testing.md): machines and what has to be true of them, as TOML or as Python functions."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rastos.errors import RastosError, UserError

from .conditions import KINDS, Condition, look_for
from .driver import Machine
from .hardware import NAME, Hardware, parse_disk, parse_forward, parse_share
from .machine import WAYS_TO_BOOT

Machines = Mapping[str, Machine]


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """A machine a test wants. `image` None: the one under test; `cpus` None: what suits the accelerator."""

    name: str = "machine"
    image: Path | None = None
    way: str = "uefi"
    memory: int = 1024
    cpus: int | None = None
    hardware: Hardware = field(default_factory=lambda: Hardware(screen=True))


@dataclass(frozen=True, slots=True)
class SuiteCheck:
    """One check: its name, the machine it is about, and what looks: it returns what was seen, or raises."""

    name: str
    machine: str
    look: Callable[[Machines], str]


@dataclass(frozen=True, slots=True)
class Suite:
    """What a file asks for."""

    path: Path
    machines: tuple[MachineRequest, ...]
    checks: tuple[SuiteCheck, ...]


def load_suite(path: Path) -> Suite:
    """Read a file of checks. UserError names the line that is wrong."""
    if not path.is_file():
        raise UserError("there is no such file of checks", on=path, next_step="name a .toml or .py file")
    if path.suffix == ".py":
        from .python_suite import load_python

        return load_python(path)
    if path.suffix != ".toml":
        raise UserError("this is no file of checks", on=path, next_step="name a .toml or .py file")
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"malformed TOML: {error}", on=path, next_step="correct the line named") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the checks: {error}", on=path, next_step="check the file") from error
    return _Reader(path, text).suite(document)


class _Reader:
    """Checks a document; every complaint names file and line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.rows = text.splitlines()

    def fail(self, table: str, number: int, key: str, what: str, step: str) -> UserError:
        """`number` counts the tables of this name from 0; without a key, the table's own line is meant."""
        line, seen, inside = 1, -1, not table
        for at, row in enumerate(self.rows, 1):
            if re.match(r"\s*\[", row):
                inside = bool(re.match(rf"\s*\[\[\s*{table}\s*\]\]", row)) and bool(table)
                seen += inside
                if inside and seen == number:
                    line = at
            elif inside and (seen == number or not table) and key and re.match(rf'\s*"?{re.escape(key)}"?\s*=', row):
                line = at
                break
        return UserError(what, on=f"{self.path}:{line}", next_step=step)

    def suite(self, document: Mapping[str, Any]) -> Suite:
        for key in document:
            if key not in ("machines", "checks"):
                raise self.fail("", 0, key, f"unknown key '{key}'", "known: [[machines]], [[checks]]")
        for table in ("machines", "checks"):
            rows = document.get(table, [])
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise self.fail("", 0, table, f"{table} are tables", f"write [[{table}]]")
        machines = [self._machine(row, number) for number, row in enumerate(document.get("machines", []))]
        names = [item.name for item in machines]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self.fail("machines", number, "name", f"two machines are named '{name}'", "name one otherwise")
        checks = document.get("checks", [])
        if not checks:
            raise self.fail("", 0, "", "there is nothing to check", "write [[checks]] and run = …")
        known = names or ["machine"]
        return Suite(
            self.path,
            tuple(machines) or (MachineRequest(),),
            tuple(self._check(row, number, known) for number, row in enumerate(checks)),
        )

    def _machine(self, row: Mapping[str, Any], number: int) -> MachineRequest:
        kinds: dict[str, type | tuple[type, ...]] = {
            "name": str, "image": str, "boot": str, "memory": int, "cpus": int, "network": str,
            "disks": list, "shares": list, "forwards": list, "tpm": bool, "screen": bool,
        }  # fmt: skip
        self._keys("machines", number, row, kinds)
        name = row.get("name", "machine")
        if not NAME.fullmatch(name):
            step = "use up to 48 letters, digits, . _ and -"
            raise self.fail("machines", number, "name", f"'{name}' is no name for a machine", step)
        way = row.get("boot", "uefi")
        if way not in WAYS_TO_BOOT:
            raise self.fail("machines", number, "boot", f"unknown way to boot '{way}'", "use uefi, direct or bios")
        for key, least in (("memory", 128), ("cpus", 1)):
            if row.get(key, least) < least:
                raise self.fail("machines", number, key, f"{key} is {row[key]}", f"use {least} or more")
        folder = self.path.parent
        network = row.get("network", "")
        if network and not NAME.fullmatch(network):
            step = "use letters, digits, . _ and -"
            raise self.fail("machines", number, "network", f"'{network}' is no name for a network", step)

        def each(key: str, read: Callable[[str], Any]) -> tuple[Any, ...]:
            try:
                return tuple(read(str(text)) for text in row.get(key, []))
            except UserError as error:
                raise self.fail("machines", number, key, str(error), error.next_step) from error

        def here(text: str) -> str:
            return text if text.startswith(("/", "~")) else str(folder / text)

        hardware = Hardware(
            forwards=each("forwards", parse_forward),
            shares=each("shares", lambda text: parse_share(here(text))),
            disks=each(
                "disks", lambda text: parse_disk(text if re.fullmatch(r"[0-9]+\s*[MGTmgt]", text) else here(text))
            ),
            tpm=row.get("tpm", False),
            screen=row.get("screen", True),
            network=network,
            name=name,
        )
        image = Path(here(row["image"])).expanduser() if "image" in row else None
        return MachineRequest(name, image, way, row.get("memory", 1024), row.get("cpus"), hardware)

    def _check(self, row: Mapping[str, Any], number: int, known: list[str]) -> SuiteCheck:
        kinds: dict[str, type | tuple[type, ...]] = {
            "name": str, "machine": str, "expect": (str, int), "matches": str, "absent": bool,
            "status": int, "wait": bool, "timeout": (int, float), **KINDS,
        }  # fmt: skip
        self._keys("checks", number, row, kinds)
        chosen = [key for key in KINDS if key in row]
        if len(chosen) != 1:
            what = "a check names one thing to look at" + (
                f", not {len(chosen)}: {', '.join(chosen)}" if chosen else ""
            )
            raise self.fail("checks", number, chosen[-1] if chosen else "", what, f"write one of: {', '.join(KINDS)}")
        machine = row.get("machine", known[0])
        if machine not in known:
            near = difflib.get_close_matches(machine, known, n=1)
            step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise self.fail("checks", number, "machine", f"there is no machine '{machine}'", step)
        if "machine" not in row and len(known) > 1:
            step = f"write machine = one of: {', '.join(known)}"
            raise self.fail("checks", number, "", "of several machines a check names one", step)
        condition = Condition(
            kind=chosen[0],
            subject=row[chosen[0]],
            expect=None if row.get("expect") is None else str(row["expect"]),
            matches=row.get("matches"),
            absent=row.get("absent", False),
            status=row.get("status", 0),
            wait=row.get("wait", False),
            timeout=float(row.get("timeout", 60)),
        )
        try:
            condition.check()
        except UserError as error:
            raise self.fail("checks", number, error.on, error.what, error.next_step) from error
        return SuiteCheck(row.get("name") or condition.title, machine, lambda all_: look_for(condition, all_[machine]))

    def _keys(
        self, table: str, number: int, row: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]
    ) -> None:
        for key, value in row.items():
            if key not in kinds:
                near = difflib.get_close_matches(key, kinds, n=1)
                step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(kinds)}"
                raise self.fail(table, number, key, f"unknown key '{key}'", step)
            wanted = kinds[key]
            boolean = wanted is bool
            if not isinstance(value, wanted) or (isinstance(value, bool) and not boolean):
                names = {str: "a text", int: "a number", bool: "true or false", list: "a list"}
                first = wanted[0] if isinstance(wanted, tuple) else wanted
                raise self.fail(table, number, key, f"{key} is {value!r}, expected {names[first]}", f"correct {key}")


def on_image(request: MachineRequest, image: Path | None) -> MachineRequest:
    """The request with the image under test where it names none. UserError: there is none."""
    chosen = request.image or image
    if chosen is None:
        raise UserError(f"machine {request.name} has no image", next_step="name one: --image FILE, or image = …")
    return replace(request, image=chosen)


def failure(error: BaseException) -> str:
    """What a check that failed says."""
    return f"{error}\n{error.detail}".strip() if isinstance(error, RastosError) else f"{type(error).__name__}: {error}"
