"""Changes of many snapshots: a branch, a rebase, everything below a changed parent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.changing_options import drop_old_option, package_source, show_packages, words_of_intent
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import NodeChange, PackageSource, Store, TreeChange

SHOWN_FILES = 8


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--onto", metavar="PARENT", help="The new parent (default: what took the old parent's place).")
@click.option("--tree", "branch", is_flag=True, help="Its descendants follow, all of them or none.")
@click.option("--files", is_flag=True, help="Carry changed files over instead of running commands again.")
@drop_old_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def rebase(
    app: Application,
    reference: str,
    onto: str | None,
    branch: bool,
    files: bool,
    drop_old: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put a snapshot on a changed parent: what was asked of it is asked again there."""
    from rastos.snapshot import plan_rebase

    with opened_store(app, image, writable=not dry_run, purpose="rebase a snapshot") as store:
        source = package_source(app)
        target = store.snapshot(onto).id if onto is not None else None
        number = store.snapshot(reference).id
        change = plan_rebase(store, number, source, app.progress, onto=target, branch=branch, files=files)
        carry_out(app, store, change, source, dry_run=dry_run, as_json=as_json, drop=drop_old)


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--from", "old", metavar="OLD", help="The version its children stand on (default: the one it came from).")
@click.option("--files", is_flag=True, help="Carry changed files over instead of running commands again.")
@drop_old_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def sync(
    app: Application,
    reference: str,
    old: str | None,
    files: bool,
    drop_old: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring everything that stands on the older version of a snapshot onto this one, all or none."""
    from rastos.snapshot import plan_sync

    with opened_store(app, image, writable=not dry_run, purpose="rebase snapshots") as store:
        source = package_source(app)
        before = store.snapshot(old).id if old is not None else None
        number = store.snapshot(reference).id
        change = plan_sync(store, number, source, app.progress, old=before, files=files)
        carry_out(app, store, change, source, dry_run=dry_run, as_json=as_json, drop=drop_old)


def carry_out(
    app: Application,
    store: Store,
    change: TreeChange,
    source: PackageSource,
    *,
    dry_run: bool,
    as_json: bool,
    drop: bool = False,
) -> None:
    """Show a change of many, and do it; a line for each snapshot. `drop`: the old ones go then."""
    from rastos.snapshot import change_many, drop_old

    if not as_json:
        for node in change.nodes:
            _show(app, node)
    if dry_run:
        if as_json:
            app.out.json(change.to_json())
        return
    results = change_many(store, change, source, app.progress, on_line=app.out.say)
    if drop:
        results = drop_old(store, results)
    if as_json:
        app.out.json(list(results))
        return
    for result in results:
        words = f": {result.words}" if result.words else ""
        app.out.print(f"snapshot {result.snapshot} → {result.made}{words}{' (ready before)' if result.resumed else ''}")
        if drop and result.stays:
            app.out.say(f"  snapshot {result.snapshot} {result.stays}, so it stays")
        for path in result.conflicts:
            app.out.print(f"  conflict: /{path} is its own; the parent's lies beside it as {path}.rastos-new")


def _show(app: Application, node: NodeChange) -> None:
    where = f"the successor of {node.parent}" if node.follows else f"snapshot {node.parent}"
    app.out.say(f"snapshot {node.snapshot} ({node.description}), its successor on {where}")
    if node.problem:
        app.out.say(f"    {node.problem}", style="red")
        return
    if node.packages is not None:
        show_packages(app, node.packages, "    ")
    elif words := words_of_intent(node.asked):
        app.out.say(f"    {words}")
    for command in () if node.carry else node.asked.commands:
        app.out.say(f"    runs {' '.join(command)}"[:100])
    for path in node.files[:SHOWN_FILES]:
        app.out.say(f"    /{path}")
    if len(node.files) > SHOWN_FILES:
        app.out.say(f"    and {len(node.files) - SHOWN_FILES} more files")
