"""Looking into a tree: `files`, `owner`, `why`, `tree`, `orphans`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option
from rastos.cli.package.opening import opened_tree, tree_options

if TYPE_CHECKING:
    from rastos.package import Branch, Edge, Graph, Target


def _graph(target: Target) -> Graph:
    from rastos.package import Graph, read_local

    return Graph(read_local(target.database))


@click.command("files")
@click.argument("name")
@tree_options
@json_option
@click.pass_obj
def files_(
    app: Application, name: str, root: Path | None, image: Path | None, reference: str | None, as_json: bool
) -> None:
    """The paths an installed package owns."""
    from rastos.package import files

    with opened_tree(app, root, image, reference) as target:
        found = files(target, name)
    if as_json:
        app.out.json(found)
    for path in () if as_json else found:
        app.out.print(path)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@tree_options
@json_option
@click.pass_obj
def owner(
    app: Application,
    paths: tuple[str, ...],
    root: Path | None,
    image: Path | None,
    reference: str | None,
    as_json: bool,
) -> None:
    """Which package owns a path; links in its folders are followed as inside the tree. Status 1 if nobody owns one."""
    from rastos.package import owners

    with opened_tree(app, root, image, reference) as target:
        found = owners(target, paths)
    if as_json:
        app.out.json(found)
    for item in () if as_json else found:
        names = [f"{name} {version}" for name, version in zip(item.packages, item.versions, strict=True)]
        there = "" if item.there else " (it isn't there)"
        app.out.print(f"{item.path}: {', '.join(names) if names else 'owned by nobody'}{there}")
    if not all(item.packages for item in found):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("name")
@tree_options
@json_option
@click.pass_obj
def why(
    app: Application, name: str, root: Path | None, image: Path | None, reference: str | None, as_json: bool
) -> None:
    """Why a package is there: every shortest chain from what was asked for; and what would break without it."""
    with opened_tree(app, root, image, reference) as target:
        found = _graph(target).why(name)
    if as_json:
        app.out.json(found)
        return
    reason = "asked for by name" if found.reason != "dependency" else "a dependency"
    app.out.print(f"{found.name} {found.version}: {reason}")
    for chain in found.chains:
        app.out.print("  " + _chain(chain))
    for edge in found.optional:
        app.out.print(f"  optional for {edge.source}: {edge.wanted}")
    if not found.chains and not found.optional and found.reason == "dependency":
        app.out.print("  nobody needs it any more: see `rastos package orphans`")
    if found.breaks:
        shown = ", ".join(found.breaks[:12]) + (f" and {len(found.breaks) - 12} more" if len(found.breaks) > 12 else "")
        app.out.print(f"without it could not stay: {shown}")


def _chain(chain: tuple[Edge, ...]) -> str:
    words = chain[0].source
    for edge in chain:
        through = "" if edge.wanted == edge.to else f" ({edge.wanted})"
        words += f" → {edge.to}{through}"
    return words


@click.command()
@click.argument("name")
@click.option("--reverse", "-r", is_flag=True, help="What needs it instead of what it needs.")
@click.option("--depth", "-d", type=click.IntRange(min=1), default=None, help="How many levels.")
@tree_options
@json_option
@click.pass_obj
def tree(
    app: Application,
    name: str,
    reverse: bool,
    depth: int | None,
    root: Path | None,
    image: Path | None,
    reference: str | None,
    as_json: bool,
) -> None:
    """A package's dependencies as a tree; what was shown before is marked with … and not repeated."""
    with opened_tree(app, root, image, reference) as target:
        found = _graph(target).tree(name, reverse=reverse, depth=depth + 1 if depth else 0)
    if as_json:
        app.out.json(found)
        return
    for line in _lines(found, "", ""):
        app.out.print(line)


def _lines(branch: Branch, lead: str, below: str) -> Iterator[str]:
    wanted = f"  ({branch.wanted})" if branch.wanted else ""
    mark = "  …" if branch.seen else "  nobody meets this" if branch.missing else ""
    yield f"{lead}{branch.name} {branch.version}{wanted}{mark}".rstrip()
    for number, item in enumerate(branch.below):
        last = number + 1 == len(branch.below)
        yield from _lines(item, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


@click.command()
@tree_options
@json_option
@click.pass_obj
def orphans(app: Application, root: Path | None, image: Path | None, reference: str | None, as_json: bool) -> None:
    """Dependencies that nobody needs any more; those that are optional for somebody apart. `apply --prune` removes them."""
    with opened_tree(app, root, image, reference) as target:
        found = _graph(target).orphans()
    if as_json:
        app.out.json({"names": found.names, "optional": dict(found.optional)})
        return
    for name in found.names:
        app.out.print(name)
    for name, sources in found.optional.items():
        app.out.print(f"{name}  (only optional for {', '.join(sources) or 'an optional one'}; it stays)")
    if not found.names and not found.optional:
        app.out.print("no orphans")
