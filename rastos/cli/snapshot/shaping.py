"""Giving the tree its shape: children, branches, copies, another parent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import CopyPlan, Store


def _described(function: Any) -> Any:
    for option in (
        click.option("--name", default="", help="A name to call it by."),
        click.option("-d", "--description", default="", help="What it is for."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@_described
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag it gets; may be repeated.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def create(
    app: Application,
    reference: str,
    description: str,
    name: str,
    tags: tuple[str, ...],
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create a child of a snapshot with the same content."""
    from rastos.snapshot import plan_copy

    with opened_store(app, image, writable=not dry_run, purpose="create a snapshot") as store:
        base = store.snapshot(reference).id
        plan = plan_copy(store, base, parent=base, description=description, name=name, tags=tags)
        _copying(app, store, plan, dry_run=dry_run, as_json=as_json)


@click.command()
@click.argument("reference", metavar="ID")
@click.argument("name")
@click.option("-d", "--description", default="", help="What it is for.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def branch(
    app: Application,
    reference: str,
    name: str,
    description: str,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Begin a branch: a child of a snapshot with a name of its own."""
    from rastos.snapshot import plan_copy

    with opened_store(app, image, writable=not dry_run, purpose="begin a branch") as store:
        base = store.snapshot(reference).id
        text = description or f"branch {name}"
        plan = plan_copy(store, base, parent=base, what="branch", description=text, name=name)
        _copying(app, store, plan, dry_run=dry_run, as_json=as_json)


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--under", default="", metavar="PARENT", help="As a child of this snapshot instead of a new tree.")
@click.option("--beside", is_flag=True, help="As a sibling: a child of the same parent.")
@_described
@image_option
@dry_run_option
@json_option
@click.pass_context
def clone(
    ctx: click.Context,
    reference: str,
    under: str,
    beside: bool,
    description: str,
    name: str,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy a snapshot as the root of a new tree (or under another parent, or beside itself)."""
    from rastos.snapshot import plan_copy

    if under and beside:
        raise click.UsageError("--under and --beside exclude each other.", ctx)
    app: Application = ctx.obj
    with opened_store(app, image, writable=not dry_run, purpose="clone a snapshot") as store:
        source = store.snapshot(reference)
        parent = store.snapshot(under).id if under else source.parent if beside else None
        plan = plan_copy(store, source.id, parent=parent, what="clone", description=description, name=name)
        _copying(app, store, plan, dry_run=dry_run, as_json=as_json)


@click.command("clone-tree")
@click.argument("reference", metavar="ID")
@click.option("--name", default="", help="A name for the copy of ID.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def clone_tree(app: Application, reference: str, name: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Copy a snapshot with all its descendants as a new tree: all of them or none."""
    from rastos.snapshot import plan_clone_tree

    with opened_store(app, image, writable=not dry_run, purpose="clone a tree") as store:
        plan = plan_clone_tree(store, store.snapshot(reference).id, name=name)
        _copying(app, store, plan, dry_run=dry_run, as_json=as_json)


def _copying(app: Application, store: Store, plan: CopyPlan, *, dry_run: bool, as_json: bool) -> None:
    from rastos.snapshot import copy_snapshots

    if dry_run:
        if as_json:
            app.out.json(plan)
            return
        for source, parent, within in zip(plan.sources, plan.parents, plan.within, strict=True):
            place = "as a root" if parent is None and within is None else f"as a child of {parent}"
            if within is not None:
                place = f"below the copy of {plan.sources[within]}"
            app.out.print(f"would copy snapshot {source} {place}")
        return
    made = copy_snapshots(store, plan)
    if as_json:
        app.out.json([item.to_json() for item in made] if len(made) > 1 else made[0].to_json())
        return
    for source, item in zip(plan.sources, made, strict=True):
        place = "root of a new tree" if item.parent is None else f"child of {item.parent}"
        same = "" if item.parent == source else f", copy of {source}"
        app.out.print(f"snapshot {item.id}, {place}{same}")


@click.command()
@click.argument("reference", metavar="ID")
@click.argument("parent", metavar="[PARENT]", required=False)
@click.option("--root", "as_root", is_flag=True, help="Make it the root of a tree of its own.")
@image_option
@dry_run_option
@json_option
@click.pass_context
def reparent(
    ctx: click.Context,
    reference: str,
    parent: str | None,
    as_root: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move a snapshot with all below it under another parent. Its content stays as it is."""
    from rastos.snapshot import plan_reparent
    from rastos.snapshot import reparent as carry_out

    if (parent is None) != as_root:
        raise click.UsageError("Name the new parent, or --root.", ctx)
    app: Application = ctx.obj
    with opened_store(app, image, writable=not dry_run, purpose="move a snapshot in the tree") as store:
        plan = plan_reparent(store, store.snapshot(reference).id, None if parent is None else store.snapshot(parent).id)
        if not dry_run:
            carry_out(store, plan)
    if as_json:
        app.out.json(plan)
        return
    where = ["a root" if number is None else f"a child of {number}" for number in (plan.before, plan.parent)]
    done = "would be" if dry_run else "is now"
    app.out.print(f"snapshot {plan.snapshot} was {where[0]}, {done} {where[1]} {plan.delta.words()}".rstrip())
