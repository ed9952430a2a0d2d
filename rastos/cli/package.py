"""`rastos package`: plan and install packages into a tree, and look at what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option, root_option

if TYPE_CHECKING:
    from rastos.package import Channel, Manifest, Plan, Target


@click.group()
def package() -> None:
    """Plan and install the declared packages."""


def _manifest_option(function: Any) -> Any:
    return click.option(
        "--manifest",
        "manifest_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The manifest (default: the project's packages.toml).",
    )(function)


def _change_options(function: Any) -> Any:
    for option in (
        click.argument("packages", nargs=-1, metavar="[PACKAGE]..."),
        click.option(
            "--remove", "removed", multiple=True, metavar="NAME", help="A package to remove; may be repeated."
        ),
        click.option("--upgrade", is_flag=True, help="Bring everything installed up to date as well."),
        click.option("--set", "sets", multiple=True, metavar="NAME", help="A set of the manifest; may be repeated."),
        click.option("--offline", is_flag=True, help="Use the cached package indexes."),
        _manifest_option,
        root_option,
    ):
        function = option(function)
    return function


@package.command()
@_change_options
@json_option
@click.pass_obj
def plan(app: Application, /, as_json: bool, **wish: Any) -> None:
    """Show what a change comes to: packages, versions, sizes, and why each is there."""
    _, _, planned = _plan(app, **wish)
    app.out.json(planned.to_json()) if as_json else _show(app, planned)


@package.command()
@_change_options
@dry_run_option
@json_option
@click.pass_obj
def apply(app: Application, /, dry_run: bool, as_json: bool, **wish: Any) -> None:
    """Bring declared sets or named packages into the tree. Without names: the set 'base' or the flat list."""
    from rastos.package import apply_plan

    target, channels, planned = _plan(app, **wish)
    if not as_json:
        _show(app, planned)
    if dry_run:
        if as_json:
            app.out.json(planned.to_json())
        return
    result = apply_plan(target, channels, planned, app.progress)
    if as_json:
        app.out.json({**planned.to_json(), "seconds": dict(result.seconds)})
    elif not planned.empty:
        app.out.say(
            f"{len(result.installed)} installed, {len(result.upgraded)} upgraded, {len(result.removed)} removed in {target.root}"
        )


@package.command(name="list")
@click.option("--explicit", is_flag=True, help="Only what was asked for by name.")
@root_option
@json_option
@click.pass_obj
def list_(app: Application, root: Path, explicit: bool, as_json: bool) -> None:
    """What is installed in a tree."""
    from rastos.cli.render import size
    from rastos.package import installed

    found = [item for item in installed(_target(app, root)) if item.reason == "explicit" or not explicit]
    if as_json:
        app.out.json(found)
        return
    rows = [[item.name, item.shown_version, item.reason, size(item.size), item.description] for item in found]
    app.out.table(f"{len(found)} packages in {root}", ["package", "version", "reason", "size", "description"], rows)


@package.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@_manifest_option
@json_option
@click.pass_obj
def search(app: Application, words: tuple[str, ...], manifest_path: Path | None, offline: bool, as_json: bool) -> None:
    """Find packages by name and description; every WORD is a regular expression."""
    from rastos.package import search as search_channels

    found = search_channels(_channels(app, _manifest(app, manifest_path)), words, app.progress, offline=offline)
    if as_json:
        app.out.json(found)
        return
    rows = [[item.name, item.shown_version, item.channel, item.description] for item in found]
    app.out.table(f"{len(found)} packages", ["package", "version", "channel", "description"], rows)


@package.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Also say what this tree has of it.")
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@_manifest_option
@json_option
@click.pass_obj
def info(
    app: Application, name: str, root: Path | None, manifest_path: Path | None, offline: bool, as_json: bool
) -> None:
    """Everything known of one package."""
    from dataclasses import asdict

    from rastos.cli.render import size
    from rastos.package import info as package_info

    channels = _channels(app, _manifest(app, manifest_path))
    found = package_info(_target(app, root) if root else None, channels, name, app.progress, offline=offline)
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


def _manifest(app: Application, path: Path | None) -> Manifest | None:
    from rastos.package import load_manifest

    if path is None and not app.config.manifest.is_file():
        return None
    return load_manifest(path or app.config.manifest)


def _channels(app: Application, manifest: Manifest | None) -> list[Channel]:
    from rastos.package import LocalRepository, open_channels

    return open_channels(manifest, cache=app.config.cache, repository=LocalRepository(app.config.repository))


def _target(app: Application, root: Path) -> Target:
    from rastos.package import target_for

    return target_for(root, app.config.cache / "install")


def _plan(
    app: Application,
    *,
    root: Path,
    manifest_path: Path | None,
    sets: tuple[str, ...],
    packages: tuple[str, ...],
    removed: tuple[str, ...],
    upgrade: bool,
    offline: bool,
) -> tuple[Target, list[Channel], Plan]:
    from rastos.errors import UserError
    from rastos.package import Change, plan_change

    manifest = _manifest(app, manifest_path)
    if sets and manifest is None:
        raise UserError(
            "--set needs a manifest", on=app.config.manifest, next_step="name one: --manifest packages.toml"
        )
    if not (sets or packages or removed or upgrade):
        if manifest is None:
            raise UserError("nothing is asked for", next_step="name packages, or a set of a manifest: --set base")
        sets = ("default",) if "default" in manifest.sets else ("base",)
    chosen = manifest.select(sets) if manifest and sets else ()
    change = Change(tuple(dict.fromkeys((*chosen, *packages))), removed, upgrade)
    target = _target(app, root)
    channels = _channels(app, manifest)
    return target, channels, plan_change(target, channels, change, app.progress, manifest=manifest, offline=offline)


def _show(app: Application, planned: Plan) -> None:
    from rastos.cli.render import size

    if planned.empty:
        app.out.print("nothing to do")
        return
    rows = []
    for mark, packages in (("+", planned.install), ("↑", planned.upgrade), ("-", planned.remove)):
        for item in packages:
            version = f"{item.old_version} → {item.shown_version}" if mark == "↑" else item.shown_version
            why = "asked for" if item.reason == "explicit" and len(item.why) < 2 else " → ".join(item.why[:-1])
            rows.append([mark, item.name, version, item.channel, size(item.installed_size), why])
    app.out.table("", ["", "package", "version", "channel", "size", "because of"], rows)
    counts = f"{len(planned.install)} to install, {len(planned.upgrade)} to upgrade, {len(planned.remove)} to remove"
    app.out.print(f"{counts}; download {size(planned.download_size)}, unpacked {size(planned.installed_size)}")
