"""Looking: `list`, `search`, `info`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option
from rastos.cli.package.opening import (
    channels_of,
    manifest_of,
    manifest_option,
    opened_tree,
    target_of,
    tree_options,
)


@click.command(name="list")
@click.option("--explicit", is_flag=True, help="Only what was asked for by name.")
@tree_options
@json_option
@click.pass_obj
def list_(
    app: Application, root: Path | None, image: Path | None, reference: str | None, explicit: bool, as_json: bool
) -> None:
    """What is installed in a tree."""
    from rastos.cli.render import size
    from rastos.package import installed

    with opened_tree(app, root, image, reference) as target:
        found = [item for item in installed(target) if item.reason == "explicit" or not explicit]
    if as_json:
        app.out.json(found)
        return
    rows = [[item.name, item.shown_version, item.reason, size(item.size), item.description] for item in found]
    app.out.table(
        f"{len(found)} packages in {image or root or 'this system'}",
        ["package", "version", "reason", "size", "description"],
        rows,
    )


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@manifest_option
@json_option
@click.pass_obj
def search(app: Application, words: tuple[str, ...], manifest_path: Path | None, offline: bool, as_json: bool) -> None:
    """Find packages by name and description; every WORD is a regular expression."""
    from rastos.package import search as search_channels

    found = search_channels(channels_of(app, manifest_of(app, manifest_path)), words, app.progress, offline=offline)
    if as_json:
        app.out.json(found)
        return
    rows = [[item.name, item.shown_version, item.channel, item.description] for item in found]
    app.out.table(f"{len(found)} packages", ["package", "version", "channel", "description"], rows)


@click.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Also say what this tree has of it.")
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@manifest_option
@json_option
@click.pass_obj
def info(
    app: Application, name: str, root: Path | None, manifest_path: Path | None, offline: bool, as_json: bool
) -> None:
    """Everything known of one package."""
    from dataclasses import asdict

    from rastos.cli.render import size
    from rastos.package import info as package_info

    channels = channels_of(app, manifest_of(app, manifest_path))
    found = package_info(target_of(app, root) if root else None, channels, name, app.progress, offline=offline)
    if as_json:
        app.out.json(found)
        return
    shown = asdict(found)
    shown["version"] = shown.pop("shown_version")
    for key in ("download_size", "installed_size"):
        shown[key] = size(shown[key])
    rows = [
        [key.replace("_", " "), ", ".join(value) if isinstance(value, tuple | list) else value]
        for key, value in shown.items()
        if value
    ]
    app.out.table(name, ["", ""], rows)
