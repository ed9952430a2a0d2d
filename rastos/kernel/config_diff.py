"""Two configurations compared, in words: "built in → module", "off → on", with prompts, menu by menu."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rastos.kernel.config_menus import MenuEntry

_STATES = {"y": "built in", "m": "module", "n": "off"}
_OFF = ("n", "", '""')


@dataclass(frozen=True, slots=True)
class Difference:
    """One option whose value differs; "n" where it is off or not there.

    `words` say how; `prompt` and `menu` are empty for an option that nobody can ask for (it follows from others).
    """

    symbol: str
    before: str
    after: str
    words: str
    prompt: str = ""
    menu: tuple[str, ...] = ()


def compare_configs(
    before: Mapping[str, str],
    after: Mapping[str, str],
    menus_before: Mapping[str, MenuEntry],
    menus_after: Mapping[str, MenuEntry],
    exact: tuple[bool, bool] = (True, True),
) -> tuple[Difference, ...]:
    """What differs, in the order of the menus. The menus are those of each side's kernel, empty where they aren't known.

    `exact` says for each side whether they are of the very version: only then "no such option" can be said of it.
    """
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, "n"), after.get(name, "n")
        if old == new or (old in _OFF and new in _OFF):
            continue
        entry = menus_after.get(name) or menus_before.get(name)
        there = [
            not menus or not same or name in menus
            for menus, same in zip((menus_before, menus_after), exact, strict=True)
        ]
        words = in_words(old, new, entry.type if entry else "", *there)
        menu = entry.menu if entry else ()
        found.append(Difference(name, old, new, words, entry.prompt if entry else "", menu))
    return tuple(sorted(found, key=lambda item: (item.menu, item.symbol)))


def in_words(old: str, new: str, kind: str = "", known_before: bool = True, known_after: bool = True) -> str:
    """A change as a person would say it; `known_…`: whether that kernel has the option at all."""
    switch = kind in ("bool", "tristate") if kind else {old, new} <= {"y", "m", "n"}
    three = kind == "tristate" or "m" in (old, new)
    words = [_state(value, three) if switch else _text(value) for value in (old, new)]
    if not known_before:
        words[0] = "no such option"
    if not known_after:
        words[1] = "no such option"
    return " → ".join(words)


def _state(value: str, three: bool) -> str:
    return "on" if value == "y" and not three else _STATES.get(value, value)


def _text(value: str) -> str:
    return "not set" if value in ("n", "") else value


def tally(differences: tuple[Difference, ...]) -> dict[str, int]:
    """How many of each kind: turned on, turned off, built in and module swapped, other values."""
    counts = {"on": 0, "off": 0, "built in or module": 0, "other value": 0}
    for item in differences:
        if not {item.before, item.after} <= {"y", "m", "n"}:
            counts["other value"] += 1
        elif item.before == "n":
            counts["on"] += 1
        elif item.after == "n":
            counts["off"] += 1
        else:
            counts["built in or module"] += 1
    return counts
