"""`rastos kernel build`: a profile as a kernel package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.kernel import BuildPlan


@click.command()
@click.option("--profile", default="container", show_default=True, help="The kernel profile to build.")
@click.option(
    "--jobs", "-j", type=click.IntRange(min=1), help="Parallel compilers (default: what cores and memory allow)."
)
@click.option(
    "--source",
    metavar="SOURCE",
    help="A version apt offers (6.12, 6.12@SUITE; default: newest), kernel.org:VERSION, URL, git:URL#REF, folder, tarball.",
)
@click.option("--ref", help="With a local git repository as source: the tag, branch or commit to build.")
@click.option(
    "--patch",
    "patches",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A patch (-p1), after those of the profile; may be repeated.",
)
@click.option("--mirror", metavar="URL", help="Where kernel.org's releases are fetched from (kernel_mirror).")
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Keys that signatures of tarballs are held to, in place of those trusted here.",
)
@click.option("--toolchain", default="gcc", show_default=True, help="gcc, gcc-N, llvm, llvm-N, DIR/ or PREFIX-.")
@click.option(
    "--reproducible/--no-reproducible",
    default=True,
    show_default=True,
    help="Same inputs, same bytes; else the real time, user and host are in the kernel.",
)
@click.option(
    "--config",
    "fragments",
    multiple=True,
    metavar="FILE|NAME",
    help="A further fragment, merged after the profile's: a file, or a shipped one by name (lockdep); may be repeated.",
)
@click.option("--set", "settings", multiple=True, metavar="CONFIG_X=y", help="A single option, after all fragments.")
@click.option(
    "--package", "packages", multiple=True, type=click.Choice(["headers", "debug"]), help="Also make this package."
)
@click.option(
    "--secure-boot-key", type=click.Path(path_type=Path, dir_okay=False), help="Sign vmlinuz with this key (PEM)."
)
@click.option(
    "--secure-boot-cert", type=click.Path(path_type=Path, dir_okay=False), help="The certificate of that key (PEM)."
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Also put the package here.")
@click.option("--debug", is_flag=True, help="Show make's lines and keep the packaged tree.")
@dry_run_option
@json_option
@click.pass_obj
def build(
    app: Application,
    profile: str,
    jobs: int | None,
    source: str | None,
    ref: str | None,
    patches: tuple[Path, ...],
    mirror: str | None,
    keyring: Path | None,
    toolchain: str,
    reproducible: bool,
    fragments: tuple[str, ...],
    settings: tuple[str, ...],
    packages: tuple[str, ...],
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    output: Path | None,
    debug: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Source, configuration, kernel, pacman package in the local repository. Same inputs: nothing is built."""
    from rastos.kernel import build as build_kernel
    from rastos.kernel import find_fragment, load_profile, plan_build, read_secure_boot_key

    if (secure_boot_key is None) != (secure_boot_cert is None):
        raise click.UsageError("--secure-boot-key and --secure-boot-cert go together")
    if debug and not app.debug:
        app.debug = app.out.debug = True
    plan = plan_build(
        load_profile(profile, app.config.profile_folders),
        source=source,
        ref=ref,
        patches=patches,
        mirror=mirror or app.config.kernel_mirror,
        keyring=keyring or places.keyring(app),
        extra_fragments=[find_fragment(name, app.config.profile_folders) for name in fragments],
        settings=settings,
        packages=packages,
        toolchain=toolchain,
        reproducible=reproducible,
        jobs=jobs or places.jobs(app),
        secure_boot=read_secure_boot_key(secure_boot_key, secure_boot_cert)
        if secure_boot_key and secure_boot_cert
        else None,
        cache=places.cache(app),
        repository=places.repository(app),
        state=app.config.state,
    )
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        else:
            _show_plan(app, plan)
        return
    made = build_kernel(plan, app.progress, debug=debug, output=output)
    if as_json:
        app.out.json(made)
        return
    done = "unchanged, built before" if made.cached else f"built in {render.seconds(made.seconds)}"
    app.out.print(f"{made.name} {made.version}: {done}")
    app.out.print(
        f"release {made.release}, kernel {render.size(made.image_size)}, package {render.size(made.package_size)}"
    )
    for path in (made.package, *(item.path for item in made.others)):
        app.out.print(str(output / path.name if output else path))


def _show_plan(app: Application, plan: BuildPlan) -> None:
    app.out.print(f"packages   {', '.join(plan.to_json()['packages'])}")
    app.out.print(f"source     {plan.source.title}{'' if plan.source.unpacked else ' (to be unpacked)'}")
    app.out.print(f"options    {len(plan.merged.requests)} on {plan.profile.base}")
    app.out.print(f"fragments  {', '.join(path.name for path in plan.fragments)}")
    for item in plan.merged.overrides:
        earlier, later = item.earlier, item.later
        app.out.print(f"overrides  {later.symbol}: {earlier.value} ({earlier.origin}) → {later.value} ({later.origin})")
    for path, _ in plan.source.patches:
        app.out.print(f"patch      {path.name}")
    app.out.print(f"toolchain  {'; '.join(plan.toolchain)}")
    app.out.print(f"jobs       {plan.jobs}")
    if plan.signs:
        app.out.print(f"modules    signed by {plan.signing.path if plan.signing else 'a key made for it'}")
    if not plan.reproducible:
        app.out.print("identity   of this machine and time: no other build gives the same bytes")
    app.out.print(f"key        {plan.key if plan.source.digest else 'known once the source was fetched'}")
    app.out.print("would do   nothing: it is built" if plan.cached else f"would do   build in {plan.tree}")
