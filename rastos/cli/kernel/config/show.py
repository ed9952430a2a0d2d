"""`rastos kernel config show`: the options of a profile as they come out, and where each value is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.kernel.config.options import fragment_options, source_option
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.kernel import Asked, Option, ResolvedConfig


@click.command()
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1)
@click.option("--profile", default="container", show_default=True, help="The kernel profile.")
@source_option
@fragment_options
@json_option
@click.pass_obj
def show(
    app: Application,
    symbols: tuple[str, ...],
    profile: str,
    source: str | None,
    fragments: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """What options are in the end, who asked for them, and what they hang on; without a name all that were asked for.

    Configures, and compiles nothing.
    """
    from rastos.kernel import resolve_config, show_options

    plan = places.plan(app, profile, source=source, fragments=fragments, settings=settings)
    resolved = resolve_config(plan, app.progress)
    if not symbols:
        _show_all(app, resolved, as_json)
        return
    options = show_options(resolved, symbols)
    if as_json:
        app.out.json(options)
        return
    for number, option in enumerate(options):
        if number:
            app.out.print()
        _show_option(app, option)


def _show_all(app: Application, resolved: ResolvedConfig, as_json: bool) -> None:
    from rastos.kernel import explained, who_asked

    asked = who_asked(resolved)
    drops = {item.request.symbol: item for item in (*resolved.dropped, *explained(resolved))}
    values = {name: resolved.values.get(name, "n") for name in asked}
    if as_json:
        app.out.json(
            {
                "profile": resolved.plan.profile.name,
                "version": resolved.version,
                "config": resolved.config,
                "set": len(resolved.values),
                "options": [
                    {"symbol": name, "value": values[name], "asked": item, "dropped": drops.get(name)}
                    for name, item in asked.items()
                ],
            }
        )
        return
    rows = [[name, values[name], _origin(item), _said(item)] for name, item in asked.items()]
    app.out.table("", ["option", "value", "asked for by", ""], rows)
    for drop in drops.values():
        app.out.print(f"dropped: {drop}{f'; accepted: {drop.accepted}' if drop.accepted else ''}")
    app.out.print(
        f"{resolved.plan.profile.name} on Linux {resolved.version}: {len(asked)} options asked for, "
        f"{len(drops)} dropped, {len(resolved.values)} set in all ({resolved.config})"
    )


def _origin(asked: Asked) -> str:
    return f"{asked.request.origin}{f' ({asked.profile})' if asked.profile else ''}"


def _said(asked: Asked) -> str:
    return "; ".join(f"in place of {item.value} ({item.origin})" for item in asked.overrode)


def _show_option(app: Application, option: Option) -> None:
    app.out.print(f"CONFIG_{option.symbol} = {option.value or 'not set'}: {option.why}", style="bold")
    rows = [
        ("prompt", option.prompt or "none: it follows from other options"),
        ("menu", " → ".join(option.menu)),
        ("type", option.kind),
        ("asked for", _asked(option.asked)),
        ("default", option.default),
        ("defined in", ", ".join(option.defined)),
    ]
    for name, text in rows:
        if text:
            app.out.print(f"  {name:<12} {text}")
    for name, pairs in (
        ("depends on", option.depends),
        ("selected by", option.selected_by),
        ("implied by", option.implied_by),
    ):
        for number, (text, state) in enumerate(pairs):
            app.out.print(f"  {'' if number else name:<12} {text} (is {state})")
    for line in option.help.splitlines():
        app.out.print(f"    {line}".rstrip())


def _asked(asked: Asked | None) -> str:
    if asked is None:
        return "by nobody"
    said = _said(asked)
    return f"{asked.request.value} by {_origin(asked)}{f', {said}' if said else ''}"
