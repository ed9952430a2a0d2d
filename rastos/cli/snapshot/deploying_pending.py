"""What waits for its boot: shown, taken back, kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Deployment


@click.command()
@image_option
@json_option
@click.pass_obj
def pending(app: Application, image: Path | None, as_json: bool) -> None:
    """Show what boots next, what starts when that fails, and which deployments were not found good yet."""
    from rastos.snapshot import bad_snapshots, boot_state

    with opened_store(app, image, writable=False, purpose="look at what boots next") as store:
        state = boot_state(store)
        bad = list(bad_snapshots(store).values())
    if as_json:
        app.out.json(
            {
                "booted": state.booted,
                "next": state.next,
                "fallback": state.fallback,
                "good": state.good,
                "pending": list(state.pending),
                "tried": list(state.tried),
                "bad": bad,
            }
        )
        return
    if state.booted is not None:
        app.out.print(f"  runs      {_words(state.booted)}")
    app.out.print(f"  next      {_words(state.next)}")
    app.out.print(f"  fallback  {_words(state.fallback)}")
    app.out.print(f"  good      {_words(state.good)}")
    for item in state.pending:
        how = "boots once" if item.trial else f"{item.tries} tries left" + (f", {item.done} used" if item.done else "")
        app.out.print(
            f"  pending   deployment {item.deployment}: snapshot {item.snapshot}, {how}, {render.age(item.created)}"
        )
    for item in state.tried:
        app.out.print(
            f"  tried     deployment {item.deployment}: snapshot {item.snapshot}; `rastos snapshot keep` lets it stay"
        )
    for mark in bad:
        app.out.print(f"  bad       snapshot {mark.snapshot}: {mark.why}")


def _words(deployment: Deployment | None) -> str:
    if deployment is None:
        return "nothing"
    text = f"deployment {deployment.number}: snapshot {deployment.snapshot}"
    return f"{text}, {deployment.description}" if deployment.description else text


@click.command()
@click.argument("number", metavar="[DEPLOYMENT]", type=int, required=False)
@click.option("--all", "every", is_flag=True, help="All that are pending, not only the newest.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def cancel(app: Application, number: int | None, every: bool, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Take a pending deployment back, the newest unless one is named; what booted before boots next again."""
    from rastos.snapshot import cancel as carry_out
    from rastos.snapshot import plan_cancel

    with opened_store(app, image, writable=not dry_run, purpose="cancel a deployment") as store:
        plan = plan_cancel(store, number, every=every)
        if not dry_run:
            carry_out(store, plan)
    if as_json:
        app.out.json(plan)
        return
    names = ", ".join(map(str, plan.deployments))
    app.out.print(f"{'would cancel' if dry_run else 'cancelled'} deployment {names}; {_words(plan.next)} boots next")


@click.command()
@click.argument("number", metavar="[DEPLOYMENT]", type=int, required=False)
@image_option
@dry_run_option
@json_option
@click.pass_obj
def keep(app: Application, number: int | None, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Let a deployment count as good and stay: the one named, else the one that runs, else the newest."""
    from rastos.snapshot import keep as carry_out
    from rastos.snapshot import plan_keep

    with opened_store(app, image, writable=not dry_run, purpose="keep a deployment") as store:
        plan = plan_keep(store, number)
        made = plan.deployment if dry_run else carry_out(store, plan)
    if as_json:
        app.out.json(made)
    else:
        app.out.print(f"{'would keep' if dry_run else 'kept'} {_words(made)}")
