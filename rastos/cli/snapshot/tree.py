"""Looking at the snapshots: list, tree, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Snapshot


@click.command("list")
@click.option("--search", default="", metavar="TEXT", help="Only those with this in name, tags, description, note …")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only those with this tag; may be repeated.")
@image_option
@json_option
@click.pass_obj
def list_(app: Application, search: str, tags: tuple[str, ...], image: Path | None, as_json: bool) -> None:
    """List the snapshots.

    --search looks at name, tags, description, note, kernel and the packages that changed, in any case; several words all
    have to be there.
    """
    from rastos.snapshot import marks_of, matching

    with opened_store(app, image, writable=False, purpose="list snapshots") as store:
        found = matching(store.snapshots(), search, tags)
        marks = marks_of(store)
        deployed = {item.snapshot: item.number for item in store.readable_deployments()}
    if as_json:
        app.out.json([item.to_json() for item in found])
        return
    if not found and (search or tags):
        app.out.say("no snapshot has that; `rastos snapshot list` shows all")
        return
    words = {"booted": "running", "next": "next", "good": "good", "bad": "failed", "session": "session"}
    rows = []
    for item in found:
        boots = [words[mark] for mark, numbers in marks.items() if item.id in numbers]
        if not boots and item.id in deployed:
            boots = [f"({deployed[item.id]})"]
        rows.append(
            [
                item.id,
                "" if item.parent is None else item.parent,
                render.age(item.created),
                " ".join([*boots, *(("pinned",) if item.pinned else ())]),
                item.kernel,
                item.delta.words(),
                " ".join([item.name, *(f"#{tag}" for tag in item.tags)]).strip(),
                item.description,
            ]
        )
    app.out.table("Snapshots", ["id", "parent", "age", "boots", "kernel", "packages", "name", "description"], rows)


@click.command()
@click.argument("reference", metavar="[ID]", required=False)
@click.option("--sizes", "with_sizes", is_flag=True, help="Measure what is not measured yet: own and shared data.")
@click.option("--all", "whole", is_flag=True, help="Fold nothing, however large the tree is.")
@image_option
@json_option
@click.pass_obj
def tree(
    app: Application, reference: str | None, with_sizes: bool, whole: bool, image: Path | None, as_json: bool
) -> None:
    """Draw the snapshots as a tree, or the part below ID: what runs, what boots next, what changed, how old, how big.

    Sizes are data on disk without quotas: a snapshot's "own" is what deleting it would free. They are remembered, so that
    only snapshots that are new (or lost a neighbour) are measured again.
    """
    from rastos.cli.drawing import draw_tree
    from rastos.snapshot import grow, known_sizes, marks_of, measured_sizes

    with opened_store(app, image, writable=False, purpose="draw the tree") as store:
        grown = grow(store.snapshots(), store.readable_deployments(), marks_of(store))
        roots = None if reference is None else (store.snapshot(reference).id,)
        if with_sizes:
            sizes = measured_sizes(store, app.config.cache, app.progress)
        else:
            sizes = known_sizes(store, app.config.cache)
    if as_json:
        shown = [node for number, node in grown.nodes.items() if roots is None or number in _below(grown, roots)]
        app.out.json([_node_json(node, sizes.get(node.snapshot.id)) for node in shown])
        return
    app.out.lines(draw_tree(grown, sizes, roots=roots, whole=whole, width=app.out.width))


def _below(grown: Any, roots: tuple[int, ...]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        found.add(number)
        waiting += grown.nodes[number].children
    return found


def _node_json(node: Any, sizes: Any) -> dict[str, Any]:
    from dataclasses import asdict

    shape = {"children": list(node.children), "deployments": list(node.deployments), "marks": list(node.marks)}
    return {**node.snapshot.to_json(), **shape, "sizes": {**asdict(sizes), "shared": sizes.shared} if sizes else None}


@click.command()
@click.argument("reference", metavar="ID")
@image_option
@json_option
@click.pass_obj
def show(app: Application, reference: str, image: Path | None, as_json: bool) -> None:
    """Show one snapshot in detail.

    ID is a number, a name, a tag, the first letters of the uuid, or one of: latest, next, booted, good.
    """
    from rastos.snapshot import bad_snapshots, kernels_in, known_sizes, protected

    with opened_store(app, image, writable=False, purpose="show a snapshot") as store:
        item = store.snapshot(reference)
        every = store.snapshots()
        deployments = [found.number for found in store.readable_deployments() if found.snapshot == item.id]
        kernels = kernels_in(store.tree(item.id))
        children = [found.id for found in every if found.parent == item.id]
        stays = protected(store, every).get(item.id, "")
        sizes = known_sizes(store, app.config.cache).get(item.id)
        kernels = kernels_in(store.tree(item.id))
        bad = bad_snapshots(store).get(item.id)
    if as_json:
        more = {"deployments": deployments, "children": children, "sizes": sizes, "kernels": kernels, "bad": bad}
        app.out.json({**item.to_json(), **more})
        return
    rows: list[tuple[str, object]] = [
        *_described(item),
        ("also", ", ".join(found.release for found in kernels if found.release != item.kernel)),
        ("deployments", ", ".join(map(str, deployments)) or "none"),
        ("children", ", ".join(map(str, children))),
        ("data", f"{render.size(sizes.exclusive)} own + {render.size(sizes.shared)} shared" if sizes else ""),
        ("stays", f"it {stays}" if stays else ""),
        ("bad", bad.why if bad else ""),
    ]
    for name, value in rows:
        if value != "":
            app.out.print(f"{name:>12}  {value}")


def _described(item: Snapshot) -> list[tuple[str, object]]:
    intent = item.intent
    asked = [*(f"+{name}" for name in intent.install), *(f"−{name}" for name in intent.remove)]
    asked += ["upgrade"] if intent.upgrade else []
    asked += [" ".join(command) for command in intent.commands]
    return [
        ("snapshot", item.id),
        ("name", item.name),
        ("tags", " ".join(f"#{tag}" for tag in item.tags)),
        ("description", item.description),
        ("note", item.note.replace("\n", "\n" + " " * 14)),
        ("uuid", item.uuid),
        ("origin", item.origin),
        ("parent", "none" if item.parent is None else item.parent),
        ("created", f"{item.created} ({render.age(item.created)})"),
        ("succeeds", "" if item.succeeds is None else item.succeeds),
        ("proven", item.proven),
        ("kernel", item.kernel),
        ("packages", f"{item.packages} (digest {item.package_digest[:16]})"),
        ("asked for", "; ".join(asked)),
        ("added", ", ".join(item.delta.added)),
        ("removed", ", ".join(item.delta.removed)),
        ("changed", ", ".join(item.delta.changed)),
        ("state of", ", ".join(f"{name} {version}" for name, version in item.stamps)),
    ]
