"""A new root of the tree of snapshots, from nothing."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.changing_options import show_made
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.option("--profile", default="server", show_default=True, metavar="NAME", help="Image profile (or a .toml file).")
@click.option("--kernel", metavar="PROFILE|PACKAGE", help="Kernel profile or package instead of the profile's.")
@click.option("-d", "--description", default="", help="What the new snapshot is for.")
@click.option("--name", default="", help="A name to call it by.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def new(
    app: Application,
    profile: str,
    kernel: str | None,
    description: str,
    name: str,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a system from nothing but packages, as the root of a new tree beside those that are there.

    Example: rastos snapshot new --profile server --name fresh
    """
    from dataclasses import replace

    from rastos.cli.package.asking import asked
    from rastos.installer import create_root, load_image_profile, plan_root
    from rastos.package import LocalRepository, load_manifest, open_channels
    from rastos.snapshot import check_name

    chosen = load_image_profile(profile, app.config.profile_folders)
    chosen = replace(chosen, kernel=kernel or chosen.kernel)
    manifest = load_manifest(app.config.manifest)
    repository = LocalRepository(app.config.repository)
    channels = open_channels(manifest, cache=app.config.cache, repository=repository)
    with opened_store(app, image, writable=not dry_run, purpose="make a new root") as store:
        if name:
            check_name(store, name)
        plan = plan_root(
            store,
            chosen,
            manifest,
            channels,
            repository,
            cache=app.config.cache,
            progress=app.progress,
            decide=asked(app),
        )
        app.out.say(f"  {len(plan.packages.install)} packages, kernel {plan.kernel} {plan.kernel_version}")
        if dry_run:
            if as_json:
                app.out.json(plan.to_json())
            return
        made = create_root(
            store, plan, channels, cache=app.config.cache, progress=app.progress, description=description, name=name
        )
    show_made(app, made, as_json)
