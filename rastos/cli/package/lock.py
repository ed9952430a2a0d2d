"""Holding still: `lock` writes packages.lock, `fetch` fills a folder with exactly its packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.asking import asked
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option, target_of
from rastos.cli.render import size

if TYPE_CHECKING:
    from rastos.package import Drift, Facts, Lockfile, Manifest


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--update", is_flag=True, help="Let the NAMEs move to what the channels have; all without names.")
@click.option(
    "--check", is_flag=True, help="Only say whether it fits the manifest, and what has moved; status 1 if stale."
)
@click.option("--as-of", metavar="DATE", default="", help="From the channels' dated archives: 2026-01-31.")
@click.option(
    "--set", "sets", multiple=True, metavar="NAME", help="Sets to lock (default: the ones the manifest uses)."
)
@click.option("--host", default="", help="The host name that conditions are held against.")
@click.option("--profile", default="", help="The image profile that conditions are held against.")
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def lock(
    app: Application,
    /,
    names: tuple[str, ...],
    update: bool,
    check: bool,
    as_of: str,
    sets: tuple[str, ...],
    host: str,
    profile: str,
    offline: bool,
    manifest_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write packages.lock: version, digest and signer of every package the manifest comes to.

    What is locked already stays where it fits; --update lets it move. Examples: rastos package lock;
    rastos package lock --update linux; rastos package lock --check --offline
    """
    import platform

    from rastos.package import Facts, drift, make_lock, write_lockfile

    if names and not update:
        raise click.UsageError("Names belong to --update.")
    manifest = _needed(manifest_of(app, manifest_path), app)
    path = manifest.path.with_suffix(".lock")
    facts = Facts(host=host, profile=profile, arch=platform.machine())
    old = _previous(path)
    if check:
        _check(app, manifest, path, old, facts, offline=offline, as_json=as_json)
        return
    new = make_lock(
        target_of(app, app.config.cache / "none"),
        channels_of(app, manifest, as_of=as_of),
        manifest,
        sets or (old.sets if old and set(old.sets) <= set(manifest.sets) else manifest.used_sets),
        app.progress,
        facts=facts,
        previous=None if as_of else old,
        update=names if update else None,
        decide=asked(app),
        offline=offline,
        as_of=as_of,
    )
    moved = drift(old, new) if old else ()
    if not dry_run:
        write_lockfile(path, new)
    if as_json:
        app.out.json({"path": path, "packages": len(new.packages), "changes": moved})
        return
    _show_drift(app, moved)
    total = sum(package.file.size for package in new.packages)
    verb = "would lock" if dry_run else "locked"
    app.out.print(f"{verb} {len(new.packages)} packages ({size(total)} to fetch) in {path}")


def _check(
    app: Application,
    manifest: Manifest,
    path: Path,
    old: Lockfile | None,
    facts: Facts,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    from rastos.errors import UserError
    from rastos.package import drift, make_lock, stale

    if old is None:
        raise UserError("there is no lockfile", on=path, next_step="make it: `rastos package lock`")
    reason = stale(old, manifest, facts)
    moved: tuple[Drift, ...] = ()
    if not reason:
        target = target_of(app, app.config.cache / "none")
        channels = channels_of(app, manifest)
        moved = drift(old, make_lock(target, channels, manifest, old.sets, app.progress, facts=facts, offline=offline))
    if as_json:
        app.out.json({"path": path, "fits": not reason, "reason": reason, "drift": moved})
    else:
        _show_drift(app, moved)
        words = f"{len(moved)} things have moved since: --update takes them" if moved else "nothing has moved since"
        app.out.print(f"stale: {reason}" if reason else f"{path} fits the manifest; {words}")
    if reason:
        raise click.exceptions.Exit(1)


def _show_drift(app: Application, moved: tuple[Drift, ...]) -> None:
    if moved:
        rows = [[item.kind, item.subject, item.was[:40], item.now[:40]] for item in moved]
        app.out.table("", ["what", "which", "locked", "now"], rows)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--locked", is_flag=True, default=True, help="Exactly the lockfile's packages (there is no other way).")
@click.option("--key", default="", help="Sign packages and database with this GnuPG key.")
@click.option("--gnupg-home", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where the key is.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def fetch(
    app: Application,
    folder: Path,
    locked: bool,
    key: str,
    gnupg_home: Path | None,
    manifest_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fill FOLDER with exactly the lockfile's packages, as a repository: to build from with no network.

    Then: rastos package apply --locked --from FOLDER, or pacman with a `Server = file://` line.
    """
    from rastos.package import read_lockfile, write_bundle

    manifest = _needed(manifest_of(app, manifest_path), app)
    lock = read_lockfile(manifest.path.with_suffix(".lock"))
    if dry_run:
        total = sum(package.file.size for package in lock.packages)
        app.out.print(f"would fetch {len(lock.packages)} packages ({size(total)}) into {folder}")
        return
    made = write_bundle(lock, channels_of(app, manifest), folder, app.progress)
    if key:
        from rastos.package import bundle_repository

        bundle_repository(folder).sign(key, gnupg_home)
    if as_json:
        app.out.json(made)
    else:
        app.out.print(f"{made.packages} packages, {size(made.size)}, in {made.folder}{' (signed)' if key else ''}")


def _needed(manifest: Manifest | None, app: Application) -> Manifest:
    from rastos.errors import UserError

    if manifest is None:
        raise UserError("there is no package manifest", on=app.config.manifest, next_step="write one: packages.toml")
    return manifest


def _previous(path: Path) -> Lockfile | None:
    from rastos.package import read_lockfile

    return read_lockfile(path) if path.is_file() else None
