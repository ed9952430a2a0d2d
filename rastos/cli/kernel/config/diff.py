"""`rastos kernel config diff` (and `kernel diff`): two configurations, in words, menu by menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.kernel import Difference


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="running")
@json_option
@click.pass_obj
def diff(app: Application, before: str, after: str, as_json: bool) -> None:
    """What differs between two configurations, with the options' prompts, menu by menu.

    A and B: a profile (PROFILE@SOURCE: on that kernel), a built package's name or file, a .config, or 'running'.
    """
    from rastos.cli.kernel import places
    from rastos.cli.kernel.configuration import compared
    from rastos.kernel import compare_configs, menus_or_nothing, tally

    one, two = compared(app, before), compared(app, after)
    menus = [menus_or_nothing(side.tree, places.cache(app)) for side in (one, two)]
    found = compare_configs(one.origin.values, two.origin.values, menus[0], menus[1], (one.exact, two.exact))
    counts = tally(found)
    if as_json:
        sides = [{"name": side.origin.name, "version": side.origin.version} for side in (one, two)]
        app.out.json({"before": sides[0], "after": sides[1], "counts": counts, "differences": found})
        return
    app.out.print(f"{_title(one.origin.name, one.origin.version)} → {_title(two.origin.name, two.origin.version)}")
    menu: tuple[str, ...] | None = None
    for item in found:
        if item.menu != menu and any(menus):
            menu = item.menu
            app.out.print()
            app.out.print(" → ".join(menu) or "outside the menus", style="bold")
        app.out.print(f"  {_sign(item)} {item.symbol}: {item.words}{f'  ({item.prompt})' if item.prompt else ''}")
    if found:
        app.out.print()
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    app.out.print(f"{len(found)} options differ: {words}" if found else "no difference")


def _title(name: str, version: str) -> str:
    return f"{name} ({version})" if version and version not in name else name


def _sign(item: Difference) -> str:
    if not {item.before, item.after} <= {"y", "m", "n"}:
        return "~"
    return "+" if item.before == "n" else "−" if item.after == "n" else "~"
