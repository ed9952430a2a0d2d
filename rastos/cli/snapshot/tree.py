"""Looking at the snapshots and making new ones: list, tree, show, create."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command("list")
@image_option
@json_option
@click.pass_obj
def list_(app: Application, image: Path | None, as_json: bool) -> None:
    """List the snapshots."""
    with opened_store(app, image, writable=False, purpose="list snapshots") as store:
        found = store.snapshots()
        current = store.current()
        deployed = {item.snapshot: item.number for item in store.deployments()}
    if as_json:
        app.out.json([item.to_json() for item in found])
        return
    rows = []
    for item in found:
        boots = (
            "next"
            if current and current.snapshot == item.id
            else f"({deployed[item.id]})"
            if item.id in deployed
            else ""
        )
        parent = "" if item.parent is None else item.parent
        rows.append(
            [
                item.id,
                parent,
                render.age(item.created),
                boots,
                item.kernel,
                item.delta.words(),
                item.name,
                item.description,
            ]
        )
    app.out.table("Snapshots", ["id", "parent", "age", "boots", "kernel", "packages", "name", "description"], rows)


@click.command()
@image_option
@json_option
@click.pass_obj
def tree(app: Application, image: Path | None, as_json: bool) -> None:
    """Draw the snapshots as a tree: what boots next, what changed, how old."""
    from rastos.cli.drawing import draw_tree
    from rastos.snapshot import grow

    with opened_store(app, image, writable=False, purpose="draw the tree") as store:
        nodes = grow(store.snapshots(), store.deployments(), store.current())
    if as_json:
        app.out.json(list(nodes))
    else:
        for line in draw_tree(nodes):
            app.out.print(line)


@click.command()
@click.argument("reference", metavar="ID")
@image_option
@json_option
@click.pass_obj
def show(app: Application, reference: str, image: Path | None, as_json: bool) -> None:
    """Show one snapshot in detail. ID is a number, a name, a tag, or 'latest'."""
    from rastos.snapshot import kernels_in

    with opened_store(app, image, writable=False, purpose="show a snapshot") as store:
        item = store.snapshot(reference)
        deployments = [found.number for found in store.deployments() if found.snapshot == item.id]
        kernels = kernels_in(store.tree(item.id))
    if as_json:
        app.out.json({**item.to_json(), "deployments": deployments, "kernels": kernels})
        return
    rows: list[tuple[str, object]] = [
        ("snapshot", item.id),
        ("name", item.name),
        ("description", item.description),
        ("uuid", item.uuid),
        ("parent", "none" if item.parent is None else item.parent),
        ("created", f"{item.created} ({render.age(item.created)})"),
        ("kernel", item.kernel),
        ("also", ", ".join(found.release for found in kernels if found.release != item.kernel)),
        ("packages", f"{item.packages} (digest {item.package_digest[:16]})"),
        ("added", ", ".join(item.delta.added)),
        ("removed", ", ".join(item.delta.removed)),
        ("changed", ", ".join(item.delta.changed)),
        ("deployments", ", ".join(map(str, deployments)) or "none"),
    ]
    for name, value in rows:
        if value != "":
            app.out.print(f"{name:>12}  {value}")


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@click.option("-d", "--description", default="", help="What it is for.")
@click.option("--name", default="", help="A name to call it by.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def create(
    app: Application, reference: str, description: str, name: str, image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Create a child of a snapshot with the same content."""
    from rastos.snapshot import create_snapshot

    with opened_store(app, image, writable=not dry_run, purpose="create a snapshot") as store:
        base = store.snapshot(reference)
        if dry_run:
            app.out.print(f"would create a snapshot from {base.id}")
            return
        made = create_snapshot(store, base.id, description or f"copy of {base.id}", name=name)
    app.out.json(made.to_json()) if as_json else app.out.print(f"snapshot {made.id}, child of {base.id}")
