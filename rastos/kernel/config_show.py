"""One option of a configuration: its value, who gave it that, and what it hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rastos.errors import UserError
from rastos.kernel.fragments import Request
from rastos.kernel.resolve import ResolvedConfig, questioned


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for an option: the request, the profile that brought its fragment, and whose earlier request it overrode."""

    request: Request
    profile: str
    overrode: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a resolved configuration.

    `value` is as in a .config, "n" for off; `why` says in words where the value comes from. `depends`, `selected_by` and
    `implied_by` are pairs of an expression of the Kconfig language and its value (n, m, y). `defined` are file:line.
    """

    symbol: str
    value: str
    asked: Asked | None
    why: str
    kind: str
    prompt: str
    menu: tuple[str, ...]
    help: str
    depends: tuple[tuple[str, str], ...]
    selected_by: tuple[tuple[str, str], ...]
    implied_by: tuple[tuple[str, str], ...]
    default: str
    defined: tuple[str, ...]


def show_options(resolved: ResolvedConfig, symbols: Sequence[str]) -> tuple[Option, ...]:
    """What is known of these options. Raises UserError for one that this kernel doesn't have, with near names."""
    names = list(dict.fromkeys(name.removeprefix("CONFIG_") for name in symbols))
    answers = questioned(resolved, "describe", symbols=names)
    for name in names:
        if not answers[name]["known"]:
            near = answers[name]["near"]
            raise UserError(
                f"Linux {resolved.version} has no option CONFIG_{name}",
                next_step=f"did you mean {', '.join(near)}?"
                if near
                else "look for it with `rastos kernel config edit`",
            )
    return tuple(_option(resolved, name, answers[name]) for name in names)


def who_asked(resolved: ResolvedConfig) -> dict[str, Asked]:
    """Every option that was asked for, by symbol."""
    merged, profile = resolved.plan.merged, resolved.plan.profile
    overrode: dict[str, tuple[Request, ...]] = {}
    for item in merged.overrides:
        overrode[item.later.symbol] = (*overrode.get(item.later.symbol, ()), item.earlier)
    return {
        item.symbol: Asked(item, profile.brings(item.fragment), overrode.get(item.symbol, ()))
        for item in merged.requests
    }


def _option(resolved: ResolvedConfig, name: str, facts: dict[str, Any]) -> Option:
    asked = who_asked(resolved).get(name)
    value = resolved.values.get(name, "n" if facts["type"] in ("bool", "tristate") else "")
    pairs = {
        key: tuple((text, state) for text, state in facts[key]) for key in ("depends", "selected_by", "implied_by")
    }
    default = facts["default"] + (f" if {facts['default_if']}" if facts["default_if"] else "")
    option = Option(
        symbol=name,
        value=value,
        asked=asked,
        why="",
        kind=facts["type"],
        prompt=facts["prompt"],
        menu=tuple(facts["menu"]),
        help=facts["help"],
        default=default,
        defined=tuple(facts["defined"]),
        **pairs,
    )
    drops = {item.request.symbol for item in resolved.dropped}
    words = _why(option, visible=facts["visible"], base=resolved.plan.profile.base, dropped=name in drops)
    return replace(option, why=words)


def _why(option: Option, *, visible: bool, base: str, dropped: bool) -> str:
    selecting = [text for text, state in option.selected_by if state != "n"]
    if option.asked is not None and not dropped:
        return "asked for"
    head = f"{option.asked.request.value} was asked for and dropped; " if option.asked is not None else ""
    if option.value not in ("n", "") and selecting:
        return f"{head}selected by {' and by '.join(text.partition(' ')[0] for text in selecting)}"
    unmet = [text for text, state in option.depends if state == "n"]
    if option.value in ("n", "") and unmet:
        return f"{head}not possible: needs {' and '.join(unmet)}"
    if not option.prompt and option.value in ("n", ""):
        return f"{head}it has no prompt and nothing selects it"
    if base == "allnoconfig" and option.value == "n" and visible:
        return f"{head}nobody asked for it: {base} turns off what nobody asks for"
    if option.default and option.value.strip('"') == option.default.partition(" if ")[0].strip('"'):
        return f"{head}its default"
    if option.default:
        return f"{head}its default, {option.default}"
    return f"{head}{base} sets it" if option.value not in ("n", "") else f"{head}nobody asked for it"
