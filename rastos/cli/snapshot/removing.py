"""Deleting snapshots."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.argument("reference", metavar="ID")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def delete(app: Application, reference: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete a snapshot and the deployments that start it; its children get its parent."""
    from rastos.snapshot import delete as carry_out
    from rastos.snapshot import plan_delete

    with opened_store(app, image, writable=not dry_run, purpose="delete a snapshot") as store:
        plan = plan_delete(store, store.snapshot(reference).id)
        if not dry_run:
            carry_out(store, plan)
    if as_json:
        app.out.json(plan)
        return
    also = f" with deployments {', '.join(map(str, plan.deployments))}" if plan.deployments else ""
    app.out.print(f"{'would delete' if dry_run else 'deleted'} snapshot {plan.snapshot}: {plan.description}{also}")
