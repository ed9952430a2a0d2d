"""Why symbols were dropped, asked of kconfiglib: run as a program, answers in JSON on standard output.

    kconfig_model.py CONFIG SYMBOL...    with the tree as working directory and srctree, SRCARCH, CC… in the environment

kconfiglib 14.1 predates two keywords of newer kernels (`modules` as a line of its own, `transitional`);
both are translated while it reads (Documentation/kbuild/kconfig-language.rst of the tree).
"""

from __future__ import annotations

import difflib
import io
import json
import re
import sys
from typing import Any

import kconfiglib


class Model(kconfiglib.Kconfig):  # type: ignore[misc]
    """A tree's symbols, with newer keywords understood."""

    __slots__ = ()

    def _open(self, filename: str, mode: str) -> Any:
        file = super()._open(filename, mode)
        if mode != "r" or "Kconfig" not in filename.rpartition("/")[2]:
            return file
        with file:
            text = re.sub(r"(?m)^([ \t]+)modules$", r"\1option modules", file.read())
        return io.StringIO(re.sub(r"(?m)^[ \t]+transitional$", "", text))


def conjuncts(expression: Any) -> list[Any]:
    """A AND B AND C as [A, B, C]."""
    if isinstance(expression, tuple) and expression[0] == kconfiglib.AND:
        return conjuncts(expression[1]) + conjuncts(expression[2])
    return [expression]


def reason(model: Any, name: str) -> dict[str, object]:
    """Whether the symbol exists, the unmet parts of its dependency, near names where it doesn't."""
    symbol = model.syms.get(name)
    if symbol is None or not symbol.nodes:
        known = [item.name for item in model.unique_defined_syms]
        return {"known": False, "unmet": [], "near": difflib.get_close_matches(name, known, n=3)}
    unmet = [kconfiglib.expr_str(part) for part in conjuncts(symbol.direct_dep) if kconfiglib.expr_value(part) == 0]
    if not unmet and not any(node.prompt for node in symbol.nodes):
        unmet = ["to be selected by another symbol (it has no prompt)"]
    elif not unmet and symbol.visibility == 0:
        hidden = [kconfiglib.expr_str(node.prompt[1]) for node in symbol.nodes if node.prompt]
        unmet = [f"its prompt to be visible: {' or '.join(hidden)}"]
    elif not unmet and symbol.choice is not None and symbol.choice.selection is not symbol:
        chosen = symbol.choice.selection
        unmet = [f"to be chosen in place of {chosen.name if chosen else 'nothing'}"]
    return {"known": True, "unmet": list(dict.fromkeys(unmet)), "near": []}


def main(config: str, names: list[str]) -> None:
    """Load the tree in the working directory and the configuration; print the answers."""
    model = Model("Kconfig", warn=False)
    model.load_config(config)
    json.dump({name: reason(model, name) for name in names}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
