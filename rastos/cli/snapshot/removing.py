"""Deleting snapshots."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.argument("references", metavar="ID...", nargs=-1, required=True)
@click.option("--tree", "below", is_flag=True, help="With all their descendants.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def delete(
    app: Application, references: tuple[str, ...], below: bool, image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Delete snapshots and the deployments that start them; children that stay get the nearest ancestor left.

    What runs, boots next, booted well last or is pinned is refused.
    """
    from rastos.snapshot import delete as carry_out
    from rastos.snapshot import plan_delete

    with opened_store(app, image, writable=not dry_run, purpose="delete snapshots") as store:
        plan = plan_delete(store, *(store.snapshot(reference).id for reference in references), below=below)
        if not dry_run:
            carry_out(store, plan)
    if as_json:
        app.out.json(plan)
        return
    done = "would delete" if dry_run else "deleted"
    for number, description in zip(plan.snapshots, plan.descriptions, strict=True):
        app.out.print(f"{done} snapshot {number}: {description}")
    if plan.deployments:
        app.out.print(f"{done} deployments {', '.join(map(str, plan.deployments))}")
    for item in plan.moved:
        app.out.print(f"snapshot {item.id} becomes {'a root' if item.parent is None else f'a child of {item.parent}'}")
