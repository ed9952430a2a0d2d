"""`rastos snapshot etc`: a deployment's /etc against what its snapshot brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import EtcChange, Store

SIGNS = {"added": "+", "removed": "−", "changed": "~"}


@click.group()
def etc() -> None:
    """The /etc of a deployment: what differs, conflicts, bringing files back."""


def _deployment_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--deployment", "number", type=int, help="The deployment (default: the one that runs, else boots next)."
    )(function)


@etc.command()
@_deployment_option
@image_option
@json_option
@click.pass_obj
def status(app: Application, number: int | None, image: Path | None, as_json: bool) -> None:
    """Show open conflicts, and which paths are not as the snapshot brings them."""
    from rastos.snapshot import etc_state

    with opened_store(app, image, writable=False, purpose="look at /etc") as store:
        state = etc_state(store, number)
    if as_json:
        app.out.json(state)
        return
    app.out.print(f"/etc of deployment {state.deployment}, against snapshot {state.snapshot}")
    for conflict in state.conflicts:
        beside = f"; theirs: {conflict.beside}" if conflict.beside else ""
        app.out.print(f"! /etc/{conflict.path}  {conflict.why}{beside}")
    for item in state.differences:
        aspects = f"  {', '.join(item.aspects)}" if item.aspects and item.aspects != ("content",) else ""
        app.out.print(f"{SIGNS[item.what]} /etc/{item.path}{aspects}")
    if state.conflicts:
        app.out.say("settle one: rastos snapshot etc resolve PATH --take ours|theirs|merged")


@etc.command()
@click.argument("path", required=False)
@_deployment_option
@image_option
@json_option
@click.pass_obj
def diff(app: Application, path: str | None, number: int | None, image: Path | None, as_json: bool) -> None:
    """Show what differs from the snapshot's /etc, line by line where it is text."""
    from rastos.snapshot import etc_state, text_difference

    with opened_store(app, image, writable=False, purpose="compare /etc") as store:
        state = etc_state(store, number, below=path or "")
        texts = {item.path: text_difference(store, state, item.path) for item in state.differences}
    if as_json:
        app.out.json([{"path": item.path, "what": item.what, "lines": texts[item.path]} for item in state.differences])
        return
    for item in state.differences:
        if texts[item.path]:
            app.out.raw("\n".join(texts[item.path]))
        else:
            app.out.print(f"{SIGNS[item.what]} /etc/{item.path}  {', '.join(item.aspects)}".rstrip())
    if not state.differences:
        app.out.print("no difference")


def _carry_out(app: Application, store: Store, change: EtcChange, *, dry_run: bool, as_json: bool) -> None:
    from rastos.snapshot import change_etc

    if not dry_run:
        change_etc(store, change)
    if as_json:
        app.out.json({"path": change.path, "deployments": change.deployments, "what": change.what})
        return
    names = ", ".join(map(str, change.deployments))
    app.out.print(f"{'would be: ' if dry_run else ''}/etc/{change.path} of deployment {names}: {change.what}")


@etc.command()
@click.argument("path")
@click.option("--take", type=click.Choice(["ours", "theirs", "merged"]), required=True, help="What it becomes.")
@_deployment_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def resolve(
    app: Application, path: str, take: str, number: int | None, image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Settle a conflict: ours (as the file is now), theirs, or both merged line by line."""
    from rastos.snapshot import plan_resolve

    with opened_store(app, image, writable=not dry_run, purpose="settle a conflict in /etc") as store:
        change = plan_resolve(store, path, take, number=number)
        _carry_out(app, store, change, dry_run=dry_run, as_json=as_json)


@etc.command()
@click.argument("path")
@click.option("--from", "origin", type=int, help="A deployment to take it from (default: as the snapshot brings it).")
@_deployment_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def restore(
    app: Application,
    path: str,
    origin: int | None,
    number: int | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a file or folder of /etc back, as the snapshot brings it or as another deployment has it."""
    from rastos.snapshot import plan_restore

    with opened_store(app, image, writable=not dry_run, purpose="restore a file of /etc") as store:
        change = plan_restore(store, path, number=number, origin=origin)
        _carry_out(app, store, change, dry_run=dry_run, as_json=as_json)


@etc.command()
@click.argument("path")
@_deployment_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def push(app: Application, path: str, number: int | None, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Give a file or folder of /etc to all other deployments that are kept, so that a fallback has it too."""
    from rastos.snapshot import plan_push

    with opened_store(app, image, writable=not dry_run, purpose="give a file to all deployments") as store:
        change = plan_push(store, path, number=number)
        _carry_out(app, store, change, dry_run=dry_run, as_json=as_json)
