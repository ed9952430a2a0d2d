"""Of the lines that turn one configuration into another: those that the others don't bring along. Runs inside `kconfig_model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kconfiglib

from rastos.kernel.kconfig_fix import turn_off_the_unmentioned


def fewest_lines(model: Any, question: Mapping[str, Any]) -> list[str]:
    """Names among `possible` without which the configuration would be another; `needed` lines stay in any case.

    `model` has the configuration loaded that both come after (for allnoconfig: nothing).
    """
    if question["base"] == "allnoconfig":
        for name, value in question["requests"]:
            _set(model, name, value)
        turn_off_the_unmentioned(model)
    possible = {name: value for name, value in question["possible"] if _can_be_asked_for(model, name)}
    before = {name: _given(model.syms[name]) for name in possible}
    for name, value in (*question["needed"], *possible.items()):
        _set(model, name, value)
    wanted = _values(model)
    kept = list(possible)
    for name in possible:
        _restore(model.syms[name], *before[name])
        if _values(model) == wanted:
            kept.remove(name)
        else:
            _set(model, name, possible[name])
    return kept


def _can_be_asked_for(model: Any, name: str) -> bool:
    symbol = model.syms.get(name)
    return symbol is not None and any(node.prompt for node in symbol.nodes)


def _set(model: Any, name: str, value: str) -> None:
    symbol = model.syms.get(name)
    if symbol is None or not symbol.nodes:
        return
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    symbol.set_value(kconfiglib.unescape(value[1:-1]) if quoted else value)


def _given(symbol: Any) -> tuple[Any, Any]:
    """What was set so far: the symbol's own value and, of its choice, the member chosen."""
    return symbol.user_value, symbol.choice.user_selection if symbol.choice is not None else None


def _restore(symbol: Any, value: Any, chosen: Any) -> None:
    if value is None:
        symbol.unset_value()
    else:
        symbol.set_value(value)
    if symbol.choice is not None and symbol.choice.user_selection is symbol:
        if chosen is None:
            symbol.choice.unset_value()
        else:
            chosen.set_value(2)


def _values(model: Any) -> list[str]:
    return [symbol.str_value for symbol in model.unique_defined_syms]
