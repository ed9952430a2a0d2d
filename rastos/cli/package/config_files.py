"""`package config`: configuration files with a new or saved version beside them."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.opening import opened_tree, tree_options


@click.group()
def config() -> None:
    """Files like .pacnew and .pacsave: list, compare, merge, discard."""


@config.command("list")
@tree_options
@json_option
@click.pass_obj
def list_(app: Application, root: Path | None, image: Path | None, reference: str | None, as_json: bool) -> None:
    """Every configuration file with another version beside it."""
    from rastos.package import find_config_files

    with opened_tree(app, root, image, reference) as target:
        found = find_config_files(target)
    if as_json:
        app.out.json(found)
        return
    rows = [
        [item.other, item.package, item.kind, "the same" if item.same else "edited" if item.edited else "as shipped"]
        for item in found
    ]
    app.out.table("", ["beside", "package", "kind", "your file is"], rows)


@config.command()
@click.argument("path")
@tree_options
@click.pass_obj
def diff(app: Application, path: str, root: Path | None, image: Path | None, reference: str | None) -> None:
    """What the other version would change, as a unified diff."""
    from rastos.package import chosen_config, config_difference

    with opened_tree(app, root, image, reference) as target:
        text = config_difference(target, chosen_config(target, path))
    app.out.raw(text or "no difference\n")


@config.command()
@click.argument("path")
@click.option("--take", type=click.Choice(["new", "old"]), help="No merge: take the one beside it, or keep your own.")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Work on the tree in this folder.")
@dry_run_option
@click.pass_obj
def merge(app: Application, path: str, take: str | None, root: Path | None, dry_run: bool) -> None:
    """Merge your changes into the new version, from the version both come from (in the package cache).

    Where both changed the same lines nothing is written: the text with marks is printed, status 1.
    """
    from rastos.package import chosen_config, config_content, merge_config, settle_config

    with opened_tree(app, root, None, None) as target:
        item = chosen_config(target, path)
        if take is not None:
            text = config_content(target, item.other) if take == "new" else None
            words = f"{item.path}: {'the one beside it' if take == 'new' else 'your own'}"
        else:
            folders = [target.packages, *sorted((app.config.cache / "channels").glob("*/converted/*"))]
            merged = merge_config(target, item, folders)
            if merged.conflicts:
                app.out.raw(merged.text)
                app.out.say(f"{merged.conflicts} places were changed on both sides; nothing was written")
                raise click.exceptions.Exit(1)
            text, words = merged.text, f"{item.path}: merged, from {merged.base}"
        if dry_run:
            app.out.raw(text if text is not None else "")
            app.out.say(f"would write {words}")
            return
        settle_config(target, item, text)
    app.out.print(f"{words}; {item.other} is gone")


@config.command()
@click.argument("path")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Work on the tree in this folder.")
@dry_run_option
@click.pass_obj
def discard(app: Application, path: str, root: Path | None, dry_run: bool) -> None:
    """Delete the version beside a file; the file stays as it is."""
    from rastos.package import chosen_config, settle_config

    with opened_tree(app, root, None, None) as target:
        item = chosen_config(target, path)
        if not dry_run:
            settle_config(target, item, None)
    app.out.print(f"{'would delete' if dry_run else 'deleted'} {item.other}")
