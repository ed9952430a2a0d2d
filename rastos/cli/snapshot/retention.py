"""Keeping the store small and whole: prune, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Finding, PrunePlan


@click.command()
@click.option("--keep", default="", metavar="SCHEDULE", help='What stays: "last=5 daily=7 weekly=4 good=2".')
@click.option("--free", default="", metavar="SPACE", help="Go on until this much is free: 10% or 5G.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def prune(app: Application, keep: str, free: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete what a schedule no longer keeps, and say of every snapshot why it stays or goes.

    Terms: last, hourly, daily, weekly, monthly, yearly, good (booted well) =N; within=3d; free=10%. "; NAME: TERMS" is for
    the part of the tree below NAME. Without --keep the setting `retention` counts. What runs, boots next, booted well last
    or is pinned always stays.
    """
    from rastos.errors import UserError
    from rastos.snapshot import EXAMPLE, measured_sizes, parse_schedule, plan_prune
    from rastos.snapshot import prune as carry_out

    text = keep or app.config.retention
    if not text:
        raise UserError(
            "there is no schedule", next_step=f"give one with --keep, or set retention in rastos.toml: {EXAMPLE}"
        )
    schedule = parse_schedule(text, floor=free)
    with opened_store(app, image, writable=not dry_run, purpose="prune snapshots") as store:
        sizes = measured_sizes(store, app.config.cache, app.progress) if schedule.floor.bytes(1 << 40) else None
        plan = plan_prune(store, schedule, sizes)
        if not as_json:
            _show_plan(app, plan)
        gone = () if dry_run else carry_out(store, plan, app.progress)
    if as_json:
        app.out.json({"plan": plan, "deleted": list(gone), "dry_run": dry_run})
    elif not dry_run:
        app.out.print(f"deleted {len(gone)} of {len(plan.verdicts)} snapshots")


def _show_plan(app: Application, plan: PrunePlan) -> None:
    rows = [
        ["keep" if item.keep else "drop", item.snapshot, render.age(item.created), "; ".join(item.reasons),
         item.name or item.description]
        for item in plan.verdicts
    ]  # fmt: skip
    app.out.table("", ["", "id", "age", "why", "name"], rows)
    if plan.removal.deployments:
        app.out.print(f"deployments that go as well: {', '.join(map(str, plan.removal.deployments))}")
    if plan.wanted:
        app.out.print(
            f"free: {render.size(plan.free)} now, {render.size(plan.wanted)} wanted, "
            f"at least {render.size(plan.freed)} become free"
        )
    if plan.spare:
        app.out.print(f"if that is not enough, these go too, in this order: {', '.join(map(str, plan.spare))}")


@click.command()
@click.option("--fix", is_flag=True, help="Mend what is safe to mend.")
@image_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, fix: bool, image: Path | None, as_json: bool) -> None:
    """Find what is lost, left over or foreign: snapshots, deployments, boot entries, kernels on the ESP, subvolumes.

    Exit status 1 where something broken or left over remains. Nothing that rastos did not make is ever deleted.
    """
    from rastos.snapshot import examine, mend

    app: Application = ctx.obj
    with opened_store(app, image, writable=fix, purpose="examine the store") as store:
        found = examine(store)
        mended = [item for item in found if item.mending] if fix else []
        for item in mended:
            mend(store, item)
        left = examine(store) if fix else found
    remains = any(item.severity != "foreign" for item in left)
    if as_json:
        app.out.json({"sound": not remains, "findings": list(left), "mended": mended})
        ctx.exit(1 if remains else 0)
    for item in mended:
        app.out.print(f"mended: {item.where}: {item.what}; {item.mending}")
    app.out.table("", ["", "where", "what", "mending"], [_row(item) for item in left]) if left else None
    if not left:
        app.out.print("the store is sound")
    elif any(item.mending for item in left):
        app.out.print("`rastos snapshot doctor --fix` mends what has something in the last column")
    ctx.exit(1 if remains else 0)


def _row(item: Finding) -> list[object]:
    return [item.severity, item.where, item.what, item.mending]
