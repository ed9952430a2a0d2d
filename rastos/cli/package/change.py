"""Changing a tree: `plan` and `apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option, root_option
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option, target_of

if TYPE_CHECKING:
    from rastos.package import Channel, Plan, Target


def _change_options(function: Any) -> Any:
    for option in (
        click.argument("packages", nargs=-1, metavar="[PACKAGE]..."),
        click.option(
            "--remove", "removed", multiple=True, metavar="NAME", help="A package to remove; may be repeated."
        ),
        click.option("--upgrade", is_flag=True, help="Bring everything installed up to date as well."),
        click.option("--set", "sets", multiple=True, metavar="NAME", help="A set of the manifest; may be repeated."),
        click.option("--offline", is_flag=True, help="Use the cached package indexes."),
        manifest_option,
        root_option,
    ):
        function = option(function)
    return function


@click.command()
@_change_options
@json_option
@click.pass_obj
def plan(app: Application, /, as_json: bool, **wish: Any) -> None:
    """Show what a change comes to: packages, versions, sizes, and why each is there."""
    _, _, planned = _plan(app, **wish)
    app.out.json(planned.to_json()) if as_json else _show(app, planned)


@click.command()
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

    manifest = manifest_of(app, manifest_path)
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
    target = target_of(app, root)
    channels = channels_of(app, manifest)
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
