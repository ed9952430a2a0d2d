"""`rastos image check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.installer import ProfileCheck

_MARKS = {"error": "✗", "warning": "!", "note": "·"}


@click.command()
@click.argument("names", nargs=-1, metavar="[PROFILE|FILE]...")
@json_option
@click.pass_obj
def check(app: Application, names: tuple[str, ...], as_json: bool) -> None:
    """Check image profiles without building: keys, inheritance, packages, kernel, units, disk. Without a name all of them.

    Exit status 1 where `image create` would refuse one.
    Example: rastos image check server
    """
    from rastos.installer import check_image_profile, image_profiles
    from rastos.package import LocalRepository, load_manifest, open_channels

    folders = app.config.profile_folders
    manifest = load_manifest(app.config.manifest)
    repository = LocalRepository(app.config.repository)
    channels = open_channels(manifest, cache=app.config.cache, repository=repository)
    checks = []
    for name in names or image_profiles(folders):
        with app.progress.step(f"Check {name}") as step:
            done = check_image_profile(
                name, folders, manifest, channels, repository, cache=app.config.cache, progress=app.progress
            )
            count = sum(item.level == "error" for item in done.findings)
            step.outcome = f"{count} errors" if count else "nothing stops it"
        checks.append(done)
    if as_json:
        app.out.json([{"passed": item.passed, **_plain(item)} for item in checks])
    else:
        for item in checks:
            _show(app, item)
    if not all(item.passed for item in checks):
        raise click.exceptions.Exit(1)


def _plain(item: ProfileCheck) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(item)


def _show(app: Application, item: ProfileCheck) -> None:
    sizes = (
        f": {item.packages} packages, {render.size(item.installed_size)} unpacked; disk {render.size(item.size)}, "
        f"{render.size(item.least_size)} would do"
        if item.packages
        else ""
    )
    app.out.print(f"{'✓' if item.passed else '✗'} {item.name}{sizes}")
    if item.findings:
        rows = [[_MARKS[found.level], found.what, found.on, found.next_step] for found in item.findings]
        app.out.table("", ["", "what", "where", "next"], rows)
