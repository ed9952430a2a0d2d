"""Changing a tree: `plan` and `apply`, of what is declared, what is locked, or what is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.asking import asked, with_answers
from rastos.cli.package.changing import change_options, changed_tree_of, command_line
from rastos.cli.package.opening import channels_of, facts_of, manifest_of, manifest_option
from rastos.cli.package.showing import show_plan

if TYPE_CHECKING:
    from rastos.package import Channel, DeclaredPackage, Manifest, Plan, Target


def _wish_options(function: Any) -> Any:
    for option in (
        click.option(
            "--profile", default="", help="The image profile that conditions of the manifest are held against."
        ),
        click.option("--offline", is_flag=True, help="Use the cached package indexes."),
        click.option(
            "--from",
            "bundle",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            help="With --locked: take the packages from this folder (`rastos package fetch`).",
        ),
        click.option(
            "--keyring",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="With --from: the folder has to be signed by a key of this file.",
        ),
        click.option("--locked", is_flag=True, help="Exactly what packages.lock says, or nothing."),
        click.option("--prefer", multiple=True, metavar="VIRTUAL=NAME", help="Which package stands in for a name."),
        click.option("--replace", multiple=True, metavar="OLD=NEW", help="Which package may take an old one's place."),
        click.option("--prune", is_flag=True, help="Take out what nobody declares and nothing needs."),
        click.option("--cascade", is_flag=True, help="With --remove: also what needs them."),
        click.option("--downgrade", is_flag=True, help="Go back where the channels have an older version."),
        click.option("--upgrade", is_flag=True, help="Bring everything installed up to date as well."),
        click.option("--repair", is_flag=True, help="Install again what has altered files (configuration stays)."),
        click.option("--reinstall", multiple=True, metavar="NAME", help="Install again as it is; may be repeated."),
        click.option("--remove", "removed", multiple=True, metavar="NAME", help="Take out; may be repeated."),
        click.option("--set", "sets", multiple=True, metavar="NAME", help="A set of the manifest; may be repeated."),
        manifest_option,
        change_options,
        click.argument("packages", nargs=-1, metavar="[PACKAGE]..."),
    ):
        function = option(function)
    return function


@click.command()
@_wish_options
@json_option
@click.pass_obj
def plan(
    app: Application, /, root: Path | None, image: Path | None, no_deploy: bool, as_json: bool, **wish: Any
) -> None:
    """Show what a change comes to: packages, versions, sizes, and why each is there. Nothing is changed.

    Without names: what the manifest declares against what is installed.
    """
    with changed_tree_of(app, root, image, command="", dry_run=True, no_deploy=no_deploy) as changing:
        _, planned = _planned(app, changing.target, **wish)
    app.out.json(planned.to_json()) if as_json else show_plan(app, planned)


@click.command()
@_wish_options
@click.option(
    "--engine",
    type=click.Choice(["auto", "libalpm", "pacman"]),
    default="auto",
    envvar="RASTOS_ENGINE",
    help="Who changes the tree: libalpm through its binding, the pacman program, or what works here.",
)
@click.option("--without-kernel", is_flag=True, help="Let the last kernel of the tree, or the running one, go.")
@dry_run_option
@json_option
@click.pass_obj
def apply(
    app: Application,
    /,
    root: Path | None,
    image: Path | None,
    no_deploy: bool,
    dry_run: bool,
    as_json: bool,
    engine: str,
    without_kernel: bool,
    **wish: Any,
) -> None:
    """Make a tree hold what is declared (no names), locked (--locked) or named; by libalpm, all or nothing.

    What is declared and there already stays at its version unless --upgrade. Examples:
    rastos package apply --root /srv/tree --set server; rastos package apply htop --remove vim --image web.qcow2
    """
    from dataclasses import replace

    from rastos.package import policy_of

    manifest_path = wish["manifest_path"]
    kept = manifest_path or (app.config.manifest if app.config.manifest.is_file() else None)
    changed = changed_tree_of(
        app, root, image, command=command_line(), dry_run=dry_run, no_deploy=no_deploy, manifest=kept
    )
    with changed as changing:
        channels, planned = _planned(app, changing.target, **wish)
        if not as_json:
            show_plan(app, planned)
        if dry_run:
            if as_json:
                app.out.json(planned.to_json())
            return
        policy = replace(policy_of(manifest_of(app, manifest_path)), without_kernel=without_kernel)
        result = changing.apply(channels, planned, policy=policy, engine=engine)
        for line in result.warnings:
            app.out.say(f"warning: {line}")
        for path in result.config_files:
            app.out.say(f"look at {path}: `rastos package config diff`")
        if as_json:
            noted = {"config_files": list(result.config_files), "warnings": list(result.warnings)}
            app.out.json({**planned.to_json(), **noted, "seconds": dict(result.seconds)})
        elif not planned.nothing:
            counts = [("installed", planned.install), ("upgraded", planned.upgrade), ("downgraded", planned.downgrade)]
            counts += [("installed again", planned.reinstall), ("removed", planned.remove)]
            words = ", ".join(f"{len(items)} {word}" for word, items in counts if items) or "install reasons changed"
            app.out.say(f"{words} in {image or changing.tree.root}")


def reinstall(
    app: Application, root: Path | None, image: Path | None, names: tuple[str, ...], *, dry_run: bool
) -> None:
    """Install packages again as they are: what `verify --repair` does."""
    from rastos.package import Change, plan_change, policy_of

    manifest = manifest_of(app, None)
    with changed_tree_of(app, root, image, command=command_line(), dry_run=dry_run) as changing:
        channels = channels_of(app, manifest)
        planned = plan_change(changing.target, channels, Change(reinstall=names), app.progress, manifest=manifest)
        show_plan(app, planned)
        if not dry_run:
            changing.apply(channels, planned, policy=policy_of(manifest))


def _planned(
    app: Application,
    target: Target,
    *,
    packages: tuple[str, ...],
    sets: tuple[str, ...],
    removed: tuple[str, ...],
    reinstall: tuple[str, ...],
    repair: bool,
    upgrade: bool,
    downgrade: bool,
    cascade: bool,
    prune: bool,
    replace: tuple[str, ...],
    prefer: tuple[str, ...],
    locked: bool,
    bundle: Path | None,
    keyring: Path | None,
    offline: bool,
    profile: str,
    manifest_path: Path | None,
) -> tuple[list[Channel], Plan]:
    from rastos.errors import UserError
    from rastos.package import Change, altered_packages, plan_change

    manifest = manifest_of(app, manifest_path)
    if (sets or locked) and manifest is None:
        option = "--set" if sets else "--locked"
        step = "name one: --manifest packages.toml"
        raise UserError(f"{option} needs a manifest", on=app.config.manifest, next_step=step)
    if locked:
        if packages or sets or removed or reinstall or repair or upgrade or downgrade or prune:
            raise click.UsageError("--locked installs exactly the lockfile; give no names with it.")
        assert manifest is not None
        return _locked(app, target, manifest, bundle, keyring, profile)
    if bundle is not None or keyring is not None:
        raise click.UsageError("--from and --keyring belong to --locked.")
    named = bool(packages or removed or reinstall or repair or upgrade or downgrade)
    if manifest is None and not named:
        raise UserError("nothing is asked for", next_step="name packages, or write a manifest: packages.toml")
    declared: tuple[DeclaredPackage, ...] = ()
    if manifest is not None and (sets or not named):
        declared = manifest.declared(sets or manifest.used_sets, facts_of(target, profile))
        prune = prune or (manifest.undeclared == "remove" and not sets)
    if repair:
        known = manifest.no_extract if manifest else ()
        reinstall = tuple(dict.fromkeys((*reinstall, *altered_packages(target, app.progress, no_extract=known))))
    change = Change(
        install=packages,
        remove=removed,
        upgrade=upgrade,
        reinstall=reinstall,
        downgrade=downgrade,
        cascade=cascade,
        prune=prune,
    )
    channels = channels_of(app, manifest)
    planned = plan_change(
        target,
        channels,
        change,
        app.progress,
        manifest=with_answers(manifest, prefer, replace),
        declared=declared,
        decide=asked(app),
        offline=offline,
    )
    return channels, planned


def _locked(
    app: Application, target: Target, manifest: Manifest, bundle: Path | None, keyring: Path | None, profile: str
) -> tuple[list[Channel], Plan]:
    from rastos.errors import UserError
    from rastos.package import bundle_channels, plan_locked, read_lockfile, stale

    path = manifest.path.with_suffix(".lock")
    lock = read_lockfile(path)
    if reason := stale(lock, manifest, facts_of(target, profile)):
        raise UserError(f"the lockfile is stale: {reason}", on=path, next_step="run `rastos package lock`")
    channels = channels_of(app, manifest, as_of="" if bundle else lock.as_of)
    if bundle is not None:
        channels = bundle_channels(bundle, lock, channels, keyring=keyring)
    return channels, plan_locked(target, lock, channels)
