"""`rastos kernel config port`: a profile taken to another kernel version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.kernel.config.options import fragment_options
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rastos.kernel import Changed, Gone, NewOption, PortReport

SHOWN = 20  # new and changed options without --all


@click.command()
@click.option("--profile", default="container", show_default=True, help="The kernel profile.")
@click.option("--source", metavar="NEW", required=True, help="The kernel to go to, as `kernel build` takes it.")
@click.option("--from", "old", metavar="OLD", help="The kernel to come from (default: the newest that apt offers).")
@fragment_options
@click.option("--all", "everything", is_flag=True, help="Every new and changed option, not the first of them.")
@json_option
@click.pass_obj
def port(
    app: Application,
    profile: str,
    source: str,
    old: str | None,
    fragments: tuple[str, ...],
    settings: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> None:
    """What becomes of a profile on another kernel version: options gone and who may take their place, options dropped and
    what would satisfy them, new options in the menus that the profile uses, defaults that changed.

    Status 1 where something asked for is lost that the profile doesn't list under [[may-drop]].
    """
    from rastos.kernel import port_report, resolve_config

    plans = [places.plan(app, profile, source=item, fragments=fragments, settings=settings) for item in (old, source)]
    report = port_report(*(resolve_config(plan, app.progress) for plan in plans))
    if as_json:
        app.out.json({"lost": report.lost, "kept": report.kept, "report": report})
    else:
        _show(app, report, everything)
    if report.lost:
        raise click.exceptions.Exit(1)


def _show(app: Application, report: PortReport, everything: bool) -> None:
    app.out.print(f"{report.profile}: Linux {report.before} → {report.after}")
    app.out.print(
        f"{report.kept} of {report.requested} requests are fulfilled, {len(report.gone)} gone, "
        f"{len(report.dropped)} dropped; {report.lost} of these lost"
    )
    _head(app, "Gone", report.gone)
    for item in report.gone:
        _show_gone(app, item)
    _head(app, "Dropped", report.dropped)
    for drop in report.dropped:
        app.out.print(f"  {drop}", style=None if drop.accepted else "red")
        if drop.accepted:
            app.out.print(f"    may be missing: {drop.accepted}")
    _options(app, "New, in menus that the profile uses", report.new, everything)
    _options(app, "Changed by themselves", report.changed, everything)


def _head(app: Application, title: str, items: Sequence[object]) -> None:
    if items:
        app.out.print()
        app.out.print(f"{title} ({len(items)})", style="bold")


def _show_gone(app: Application, item: Gone) -> None:
    request = item.request
    prompt = f"  ({item.prompt})" if item.prompt else ""
    app.out.print(
        f"  CONFIG_{request.symbol}={request.value} ({request.origin}){prompt}", style=None if item.accepted else "red"
    )
    if item.accepted:
        app.out.print(f"    may be missing: {item.accepted}")
    if not item.was_fulfilled:
        app.out.print("    it wasn't fulfilled before either")
    for heir in item.heirs:
        app.out.print(f"    perhaps CONFIG_{heir.symbol}: {heir.because}{f' ({heir.prompt})' if heir.prompt else ''}")


def _options(app: Application, title: str, items: Sequence[NewOption | Changed], everything: bool) -> None:
    _head(app, title, items)
    shown = items if everything else items[:SHOWN]
    menu: tuple[str, ...] = ()
    for item in shown:
        if item.menu != menu:
            menu = item.menu
            app.out.print(f"  {' → '.join(menu)}", style="dim")
        words = getattr(item, "words", "") or f"is {getattr(item, 'value', '')}"
        app.out.print(f"    {item.symbol}: {words}  ({item.prompt})")
    if len(shown) < len(items):
        app.out.print(f"  … and {len(items) - len(shown)} more: --all")
