"""The final configuration against what was asked for: every dropped symbol, who asked, why, and what would satisfy it.

The reasons come from kconfiglib (`kconfig_question` asks it). A tree it can't load gets the `depends on` lines as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.kernel.config_file import read_config
from rastos.kernel.fragments import Merged, Request
from rastos.kernel.kconfig_question import ask
from rastos.kernel.profile import DEFAULT_BASE, MayDrop

SHOWN = 4  # requests that a fix would change: named


@dataclass(frozen=True, slots=True)
class Dropped:
    """A request that the final configuration doesn't have: `got` is its value there ("n" where absent).

    `unmet` are the parts of its dependency that don't hold, `near` existing symbols of similar name where it is
    unknown to this kernel, `forced_by` who selects it where it was wanted off, `fix` the fewest lines that would satisfy
    it (tried in the model), `breaks` the requests ("NAME (origin)") that they would change, `note` what else there is to
    say, `accepted` the profile's reason why that is all right.
    """

    request: Request
    got: str
    known: bool = True
    unmet: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    accepted: str = ""
    forced_by: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        item = self.request
        head = f"CONFIG_{item.symbol}: wanted {item.value}, got {self.got} ({item.origin})"
        if not self.known:
            near = f"; did you mean {', '.join(self.near)}?" if self.near else ""
            return f"{head}: this kernel has no such symbol{near}"
        words = []
        if self.unmet:
            words.append(f"needs {' and '.join(self.unmet)}")
        if self.forced_by:
            words.append(f"selected by {', '.join(self.forced_by)}")
        if self.note:
            words.append(self.note)
        if self.fix:
            words.append(f"add {', '.join(self.fix)}")
        if self.breaks:
            more = f" and {len(self.breaks) - SHOWN} more" if len(self.breaks) > SHOWN else ""
            words.append(f"which would change {', '.join(self.breaks[:SHOWN])}{more}")
        return f"{head}: {'; '.join(words)}" if words else head


def compare(merged: Merged, final: Mapping[str, str], may_drop: Sequence[MayDrop] = ()) -> tuple[Dropped, ...]:
    """The requests that `final` doesn't fulfil, in merge order, without reasons."""
    reasons = {item.symbol: item.reason for item in may_drop}
    return tuple(
        Dropped(item, final.get(item.symbol, "n"), accepted=reasons.get(item.symbol, ""))
        for item in merged.requests
        if not _same(item.value, final.get(item.symbol, "n"))
    )


def check(
    merged: Merged,
    config: Path,
    source: Path,
    version: str,
    may_drop: Sequence[MayDrop] = (),
    base: str = DEFAULT_BASE,
) -> tuple[Dropped, ...]:
    """The accepted drops. Raises UserError naming every other dropped symbol, its origin, its unmet dependency, the fix."""
    dropped = compare(merged, read_config(config), may_drop)
    refused = [item for item in dropped if not item.accepted]
    if refused:
        explained = explain(refused, merged, config, source, version, base)
        first = explained[0]
        more = f" and {len(explained) - 1} more" if len(explained) > 1 else ""
        raise UserError(
            f"the kernel's configuration dropped {first}{more}",
            on=f"Linux {version}",
            next_step=_next_step(explained),
            detail="\n".join(str(item) for item in explained) if more else "",
        )
    return dropped


def _next_step(dropped: Sequence[Dropped]) -> str:
    lines = list(dict.fromkeys(line for item in dropped if not item.breaks for line in item.fix))
    add = f"add to a fragment: {', '.join(lines)}; " if lines else "request what it needs in a fragment, "
    return f"{add}or take it out; a profile may list it under [[may-drop]]"


def explain(
    dropped: Sequence[Dropped],
    merged: Merged,
    config: Path,
    source: Path,
    version: str,
    base: str = DEFAULT_BASE,
) -> tuple[Dropped, ...]:
    """The same with the reason of each and what would satisfy it; `base` decides what an option nobody asked for gets."""
    question = {
        "ask": "reasons",
        "config": str(config),
        "base": base,
        "wanted": [[item.request.symbol, item.request.value] for item in dropped],
        "requests": [[item.symbol, item.value, item.origin] for item in merged.requests],
    }
    try:
        answers = ask(question, source, version)
    except UserError:
        answers = _from_text([item.request.symbol for item in dropped], source)
    return tuple(_explained(item, answers[item.request.symbol]) for item in dropped)


def _explained(item: Dropped, answer: Mapping[str, Any]) -> Dropped:
    lists: dict[str, Any] = {
        name: tuple(answer.get(name, ())) for name in ("unmet", "near", "forced_by", "fix", "breaks")
    }
    return replace(item, known=bool(answer["known"]), note=str(answer.get("note", "")), **lists)


def _from_text(names: Sequence[str], source: Path) -> dict[str, dict[str, Any]]:
    text = dict(_definitions(source))
    return {name: {"known": name in text, "unmet": text.get(name, ()), "near": _near(name, text)} for name in names}


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
