"""The final configuration against what was asked for: every dropped symbol, who asked, and what it depends on.

The reasons come from kconfiglib (its one owner is `kconfig_model`), run in a child process because it takes the
source tree and architecture from the process environment. A tree it can't load gets the `depends on` lines as text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import RastosError, UserError
from rastos.host import run
from rastos.kernel.fragments import Merged, Request
from rastos.kernel.profiles import MayDrop

MODEL_TIMEOUT = 120.0  # seconds; a 6.12 tree takes about four


@dataclass(frozen=True, slots=True)
class Dropped:
    """A request that the final configuration doesn't have: `got` is its value there ("n" where absent).

    `unmet` are the parts of its dependency that don't hold, `near` existing symbols of similar name where it is
    unknown to this kernel, `accepted` the profile's reason why that is all right.
    """

    request: Request
    got: str
    known: bool = True
    unmet: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    accepted: str = ""

    def __str__(self) -> str:
        item = self.request
        head = f"CONFIG_{item.symbol}: wanted {item.value}, got {self.got} ({item.origin})"
        if not self.known:
            near = f"; did you mean {', '.join(self.near)}?" if self.near else ""
            return f"{head}: this kernel has no such symbol{near}"
        return f"{head}: needs {' and '.join(self.unmet)}" if self.unmet else head


def read_config(path: Path) -> dict[str, str]:
    """A .config as symbol → value; what is not set is absent."""
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("CONFIG_"):
            symbol, _, value = line.removeprefix("CONFIG_").partition("=")
            values[symbol] = value
    return values


def compare(merged: Merged, final: Mapping[str, str], may_drop: Sequence[MayDrop] = ()) -> tuple[Dropped, ...]:
    """The requests that `final` doesn't fulfil, in merge order, without reasons."""
    reasons = {item.symbol: item.reason for item in may_drop}
    return tuple(
        Dropped(item, final.get(item.symbol, "n"), accepted=reasons.get(item.symbol, ""))
        for item in merged.requests
        if not _same(item.value, final.get(item.symbol, "n"))
    )


def check(
    merged: Merged, config: Path, source: Path, version: str, may_drop: Sequence[MayDrop] = ()
) -> tuple[Dropped, ...]:
    """The accepted drops. Raises UserError naming every other dropped symbol, its origin and unmet dependency."""
    dropped = compare(merged, read_config(config), may_drop)
    refused = [item for item in dropped if not item.accepted]
    if refused:
        explained = explain(refused, config, source, version)
        first = explained[0]
        more = f" and {len(explained) - 1} more" if len(explained) > 1 else ""
        raise UserError(
            f"the kernel's configuration dropped {first}{more}",
            on=f"Linux {version}",
            next_step="request what it needs in a fragment, or take it out; a profile may list it under [[may-drop]]",
            detail="\n".join(str(item) for item in explained) if more else "",
        )
    return dropped


def explain(dropped: Sequence[Dropped], config: Path, source: Path, version: str) -> tuple[Dropped, ...]:
    """The same with the reason of each."""
    names = [item.request.symbol for item in dropped]
    answers: dict[str, dict[str, Any]] = _ask_model(names, config, source, version) or {}
    if not answers:
        text = dict(_definitions(source))
        for name in names:
            near = tuple(_near(name, text))
            answers[name] = {"known": name in text, "unmet": list(text.get(name, ())), "near": near}
    return tuple(
        Dropped(
            item.request,
            item.got,
            known=bool(answers[item.request.symbol]["known"]),
            unmet=tuple(answers[item.request.symbol]["unmet"]),
            near=tuple(answers[item.request.symbol]["near"]),
            accepted=item.accepted,
        )
        for item in dropped
    )


def _ask_model(names: list[str], config: Path, source: Path, version: str) -> dict[str, dict[str, Any]] | None:
    compiler = run(["gcc", "--version"], what="ask the compiler for its version").stdout.partition("\n")[0]
    # what scripts/kconfig/Makefile and the top Makefile export before they start conf
    tools = {"CC": "gcc", "HOSTCC": "gcc", "LD": "ld", "NM": "nm", "OBJCOPY": "objcopy", "AR": "ar"}
    other = {"CC_VERSION_TEXT": compiler, "PAHOLE": "pahole", "RUSTC": "rustc", "BINDGEN": "bindgen"}
    env = {"srctree": str(source), "ARCH": "x86", "SRCARCH": "x86", "KERNELVERSION": version, **tools, **other}
    model = Path(__file__).with_name("kconfig_model.py")
    try:
        argv = [sys.executable, "-I", str(model), str(config), *names]
        answer = run(argv, cwd=source, env=env, timeout=MODEL_TIMEOUT, what="read the kernel's Kconfig files")
        found = json.loads(answer.stdout)
    except (RastosError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _definitions(source: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Symbol → its own `depends on` lines, read as text from every Kconfig file."""
    for path in sorted(source.rglob("Kconfig*")):
        if not path.is_file() or (path.parts[len(source.parts)] == "arch" and "x86" not in path.parts):
            continue
        name = ""
        needs: list[str] = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            start = re.match(r"(?:menu)?config\s+(\w+)\s*$", line)
            if start or re.match(r"\S", line):
                if name:
                    yield name, tuple(needs)
                name, needs = start[1] if start else "", []
            elif name and (found := re.match(r"\s+depends on\s+(.*?)\s*$", line)):
                needs.append(found[1])
        if name:
            yield name, tuple(needs)


def _near(name: str, known: Mapping[str, object]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, n=3)


def _same(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    try:
        return int(wanted, 0) == int(got, 0)
    except ValueError:
        return wanted in ('""', "n") and got in ('""', "n")
