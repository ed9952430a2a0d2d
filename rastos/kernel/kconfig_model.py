"""A tree's Kconfig asked for facts: a program, one question as JSON on standard input, the answer on standard output.

    python -m rastos.kernel.kconfig_model    with the tree as working directory and srctree, SRCARCH, CC… in the environment

Questions: {"ask": "reasons" | "describe" | "menus" | "fewest", "config": FILE, …}; `kconfig_question` is who asks.
kconfiglib 14.1 predates two keywords of newer kernels (`modules` as a line of its own, `transitional`);
both are translated while it reads (Documentation/kbuild/kconfig-language.rst of the tree).
"""

from __future__ import annotations

import difflib
import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import kconfiglib

from rastos.kernel import kconfig_fix as fixing
from rastos.kernel.kconfig_fewest import fewest_lines
from rastos.kernel.kconfig_fix import conjuncts, disjuncts

_NEWER = re.compile(r"(?m)^[ \t]+transitional$")


class Model(kconfiglib.Kconfig):  # type: ignore[misc]
    """A tree's symbols, with newer keywords understood."""

    __slots__ = ("transitional",)

    def _open(self, filename: str, mode: str) -> Any:
        file = super()._open(filename, mode)
        if mode != "r" or "Kconfig" not in filename.rpartition("/")[2]:
            return file
        with file:
            text = re.sub(r"(?m)^([ \t]+)modules$", r"\1option modules", file.read())
        if _NEWER.search(text):
            if not hasattr(self, "transitional"):
                self.transitional: set[str] = set()
            self.transitional.update(_transitional(text))
            text = _NEWER.sub("", text)
        return io.StringIO(text)


def _transitional(text: str) -> Iterator[str]:
    """Symbols that only carry an old name's value over to a new one."""
    name = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["config"], ["menuconfig"]) and len(words) == 2:
            name = words[1]
        elif words == ["transitional"] and name:
            yield name


def menu_path(node: Any) -> list[str]:
    """The prompts of the menus that lead to a node, outermost first."""
    found: list[str] = []
    node = node.parent
    while node is not None and node.parent is not None:
        if node.prompt:
            found.insert(0, node.prompt[0])
        node = node.parent
    return found


def prompt_node(symbol: Any) -> Any:
    """Its first definition that has a prompt, else its first."""
    return next((node for node in symbol.nodes if node.prompt), symbol.nodes[0])


def state(expression: Any) -> str:
    """n, m or y."""
    return str(kconfiglib.TRI_TO_STR[kconfiglib.expr_value(expression)])


def reason(model: Model, name: str, wanted: str, search: fixing.Search) -> dict[str, object]:
    """Why a request for `name` isn't fulfilled: what is unmet, who forces it, near names, what would satisfy it."""
    symbol = model.syms.get(name)
    if symbol is None or not symbol.nodes:
        known = [item.name for item in model.unique_defined_syms]
        return {"known": False, "near": difflib.get_close_matches(name, known, n=3)}
    truth = symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE)
    if truth and wanted == "n":
        return {"known": True, **_forced(symbol, search)}
    unmet, note = _unmet(model, symbol, wanted)
    found = search.fix(symbol, wanted)
    return {
        "known": True,
        "unmet": unmet,
        "note": note or found.note,
        "fix": [fixing.line(*item) for item in found.lines],
        "breaks": list(found.breaks),
    }


def _unmet(model: Model, symbol: Any, wanted: str) -> tuple[list[str], str]:
    prompted = [node for node in symbol.nodes if node.prompt]
    if wanted == "m" and symbol.orig_type == kconfiglib.BOOL:
        return [], "it is on or off, never a module: ask for y"
    if wanted == "m" and model.modules.tri_value == 0:
        return ["MODULES"], ""
    # a dependency that is a module limits what may be a module itself, not what is only on or off
    least = 2 if wanted == "y" and symbol.orig_type == kconfiglib.TRISTATE else 1
    parts = [part for part in conjuncts(symbol.direct_dep) if kconfiglib.expr_value(part) < least]
    node = symbol.nodes[0]
    probe = f"what a probe of compiler or system didn't find (in {node.filename}, line {node.linenr} on)"
    unmet = [probe if part is model.n else _part(part, least) for part in parts]
    if not unmet and not prompted:
        return ["to be selected by another symbol (it has no prompt)"], _selectors(symbol)
    if not unmet and symbol.visibility < least:
        hidden = [kconfiglib.expr_str(node.prompt[1]) for node in prompted]
        unmet = [f"its prompt to be visible: {' or '.join(hidden)}"]
    elif not unmet and symbol.choice is not None and symbol.choice.selection is not symbol:
        chosen = symbol.choice.selection
        unmet = [f"to be chosen in place of {chosen.name if chosen else 'nothing'}"]
    elif not unmet and symbol.orig_type in (kconfiglib.INT, kconfiglib.HEX):
        for low, high, condition in symbol.ranges:
            if kconfiglib.expr_value(condition):
                return [f"a number from {low.str_value} to {high.str_value}"], ""
    return list(dict.fromkeys(unmet)), ""


def _part(part: Any, least: int) -> str:
    text = str(kconfiglib.expr_str(part))
    return f"{text} (which is m)" if least == 2 and kconfiglib.expr_value(part) == 1 else text


def _selectors(symbol: Any) -> str:
    names = [term_name(term) for term in disjuncts(symbol.rev_dep) if term is not symbol.kconfig.n]
    shown = ", ".join(dict.fromkeys(names[:6]))
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"selected by {shown}{more}" if names else "nothing selects it: only its default sets it"


def term_name(term: Any) -> str:
    """Who selects, of one `SELECTOR && condition` of a reverse dependency."""
    first = conjuncts(term)[0]
    return str(getattr(first, "name", None) or kconfiglib.expr_str(first))


def _forced(symbol: Any, search: fixing.Search) -> dict[str, object]:
    """Wanted off, but on."""
    forced = [term_name(term) for term in disjuncts(symbol.rev_dep) if kconfiglib.expr_value(term) > 0]
    note = ""
    if not forced and symbol.choice is not None:
        members = [item.name for item in symbol.choice.syms if item is not symbol and item.visibility]
        note = f"it is what its choice falls back to; ask for another: {', '.join(members) or 'there is none'}"
    elif not forced and not any(node.prompt for node in symbol.nodes):
        note = "it has no prompt: its default sets it, no request can"
    found = search.fix(symbol, "n")
    return {
        "forced_by": list(dict.fromkeys(forced)),
        "note": note or found.note,
        "fix": [fixing.line(*item) for item in found.lines],
        "breaks": list(found.breaks),
    }


def describe(model: Model, name: str) -> dict[str, object]:
    """What is known of one symbol: value, prompt, help, dependency part by part, who selects and implies it, defaults."""
    symbol = model.syms.get(name)
    if symbol is None or not symbol.nodes:
        known = [item.name for item in model.unique_defined_syms]
        return {"known": False, "near": difflib.get_close_matches(name, known, n=3)}
    node = prompt_node(symbol)
    value = symbol.str_value
    active = next(((what, when) for what, when in symbol.defaults if kconfiglib.expr_value(when)), None)
    return {
        "known": True,
        "type": kconfiglib.TYPE_TO_STR[symbol.orig_type],
        "value": f'"{value}"' if symbol.orig_type == kconfiglib.STRING else value,
        "prompt": node.prompt[0] if node.prompt else "",
        "visible": symbol.visibility > 0,
        "menu": menu_path(node),
        "defined": [f"{item.filename}:{item.linenr}" for item in symbol.nodes],
        "help": next((item.help for item in symbol.nodes if item.help), ""),
        "depends": [[kconfiglib.expr_str(part), state(part)] for part in _parts(symbol.direct_dep, model)],
        "selected_by": list(_terms(symbol.rev_dep, model)),
        "implied_by": list(_terms(symbol.weak_rev_dep, model)),
        "default": "" if active is None else kconfiglib.expr_str(active[0]),
        "default_if": "" if active is None or active[1] is model.y else kconfiglib.expr_str(active[1]),
        "choice": [item.name for item in symbol.choice.syms] if symbol.choice is not None else [],
    }


def _parts(expression: Any, model: Model) -> list[Any]:
    return [part for part in conjuncts(expression) if part is not model.y]


def _terms(expression: Any, model: Model) -> Iterator[list[str]]:
    for term in disjuncts(expression):
        if term is not model.n:
            yield [kconfiglib.expr_str(term), state(term)]


def menus(model: Model) -> dict[str, object]:
    """Every symbol: prompt, menu, type, value, whether it can be asked for; and old names that new ones take over."""
    symbols = {}
    heirs: dict[str, list[str]] = {}
    transitional = model.transitional if hasattr(model, "transitional") else set()
    for symbol in model.unique_defined_syms:
        node = prompt_node(symbol)
        symbols[symbol.name] = {
            "prompt": node.prompt[0] if node.prompt else "",
            "menu": menu_path(node),
            "type": kconfiglib.TYPE_TO_STR[symbol.orig_type],
            "value": symbol.str_value,
            "visible": symbol.visibility > 0,
        }
        for what, _ in symbol.defaults:
            for item in kconfiglib.expr_items(what):
                if getattr(item, "name", "") in transitional:
                    heirs.setdefault(item.name, []).append(symbol.name)
    return {"symbols": symbols, "transitional": {name: heirs.get(name, []) for name in sorted(transitional)}}


def answer(question: dict[str, Any]) -> dict[str, object]:
    """Load the tree in the working directory and the configuration, and answer."""
    model = Model("Kconfig", warn=False)
    if question.get("config"):
        model.load_config(question["config"])
    if question["ask"] == "menus":
        return menus(model)
    if question["ask"] == "fewest":
        return {"kept": fewest_lines(model, question)}
    if question["ask"] == "describe":
        return {name: describe(model, name) for name in question["symbols"]}
    requests = {name: (value, origin) for name, value, origin in question["requests"]}
    if question["base"] == "allnoconfig":
        fixing.turn_off_the_unmentioned(model)
    search = fixing.Search(model, requests)
    return {name: reason(model, name, wanted, search) for name, wanted in question["wanted"]}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
