"""`rastos kernel distro`: the distribution's kernel as a package like those built here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.kernel import BuiltKernel
    from rastos.package import Channel


@click.command()
@click.option("--package", default="", metavar="NAME", help="Which of its kernels, such as linux-image-amd64.")
@dry_run_option
@json_option
@click.pass_obj
def distro(app: Application, package: str, dry_run: bool, as_json: bool) -> None:
    """Take the distribution's kernel instead of building one: fetched, verified, laid out as a kernel built here.

    Debian: the kernel for virtual machines, unless another package is named. `image create --kernel distro` does it by itself.
    """
    from rastos.kernel import distro_kernel, distro_request, plan_distribution
    from rastos.package import load_manifest, open_channels

    repository = places.repository(app)
    manifest = load_manifest(app.config.manifest) if app.config.manifest.is_file() else None
    channels = open_channels(manifest, cache=app.config.cache, repository=None)
    named = distro_request(f"distro:{package}") if package else ""
    plan = plan_distribution(channels, repository, places.cache(app), app.progress, package=named or "")
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
            return
        app.out.print(f"package    {plan.package} {plan.version}")
        app.out.print(f"from       {plan.title}, channel {plan.channel}")
        app.out.print("here       " + ("yes" if plan.existing else "no: it will be fetched"))
        return
    taken = distro_kernel(plan, channels, repository, places.cache(app), app.progress)
    if as_json:
        app.out.json(taken)
        return
    app.out.print(f"{taken.name} {taken.version}: release {taken.release}, {render.size(taken.package_size)}")
    app.out.print(f"from {taken.source}" + (", which was here" if plan.existing else ""))
    app.out.print(str(taken.package))


def distro_package(app: Application, request: str, channels: Sequence[Channel], *, locked: bool) -> BuiltKernel:
    """The kernel that `--kernel distro[:PACKAGE]` asks for, fetched where the newest isn't here; `locked`: where none is."""
    from rastos.kernel import built, distro_kernel, distro_profile, plan_distribution

    repository = places.repository(app)
    here = [item for item in built(places.cache(app), repository) if item.profile == distro_profile(request)]
    if locked and here:
        return here[0]
    away = [item for item in channels if item.name != repository.name]  # ours has none of the distribution's kernels
    plan = plan_distribution(away, repository, places.cache(app), app.progress, package=request)
    return distro_kernel(plan, channels, repository, places.cache(app), app.progress)
