"""`rastos kernel`: build kernels from profiles and see what was built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.kernel import BuildPlan, BuiltKernel, KernelProfile


@click.group()
def kernel() -> None:
    """Build kernels from profiles and keep them as packages."""


@kernel.command()
@click.option("--profile", default="container", show_default=True, help="The kernel profile to build.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Parallel compilers (default: the cores).")
@click.option(
    "--source", metavar="PATH|VERSION", help="Source folder, tarball, or a version apt offers (default: newest)."
)
@click.option(
    "--config",
    "fragments",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A further fragment, merged after the profile's; may be repeated.",
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
    fragments: tuple[Path, ...],
    output: Path | None,
    debug: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Source, configuration, kernel, pacman package in the local repository. Same inputs: nothing is built."""
    from rastos.kernel import build as build_kernel
    from rastos.kernel import load_profile, plan_build

    if debug and not app.debug:
        app.debug = app.out.debug = True
    plan = plan_build(
        load_profile(profile, app.config.profile_folders),
        source=source,
        extra_fragments=fragments,
        jobs=jobs or app.config.jobs,
        cache=_cache(app),
        repository=_repository(app),
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
    done = "unchanged, built before" if made.cached else f"built in {_duration(made.seconds)}"
    app.out.print(f"{made.name} {made.version}: {done}")
    app.out.print(f"release {made.release}, kernel {_size(made.image_size)}, package {_size(made.package_size)}")
    app.out.print(str(output / made.package.name if output else made.package))


@kernel.command("profiles")
@json_option
@click.pass_obj
def profiles_command(app: Application, as_json: bool) -> None:
    """List the profiles that can be built."""
    from rastos.kernel import merge, profiles

    known = profiles(app.config.profile_folders)
    if as_json:
        app.out.json([_profile(item) for item in known])
        return
    rows = [[item.name, len(merge(item.fragments).requests), item.summary] for item in known]
    app.out.table("Kernel profiles", ["name", "options", "what for"], rows)


@kernel.command("list")
@json_option
@click.pass_obj
def list_command(app: Application, as_json: bool) -> None:
    """List the kernels in the local repository that were built here."""
    from rastos.kernel import built

    known = built(_cache(app), _repository(app))
    if as_json:
        app.out.json(known)
        return
    if not known:
        app.out.say("no kernel was built yet: run `rastos kernel build --profile container`")
        return
    rows = [
        [item.name, item.version, item.release, _size(item.package_size), _duration(item.seconds)] for item in known
    ]
    app.out.table("Kernels", ["package", "version", "release", "size", "built in"], rows)


@kernel.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(app: Application, name: str, as_json: bool) -> None:
    """Show a profile, or a built kernel (by package name), with every option asked for and by whom."""
    from rastos.kernel import built, load_profile

    kernels = built(_cache(app), _repository(app))
    found = [item for item in kernels if name in (item.name, item.release, item.profile)]
    profile = load_profile(found[0].profile if found else name, app.config.profile_folders)
    if as_json:
        app.out.json({"profile": _profile(profile, options=True), "built": found[0] if found else None})
        return
    _show_profile(app, profile, found[0] if found else None)


def _show_profile(app: Application, profile: KernelProfile, built: BuiltKernel | None) -> None:
    from rastos.kernel import merge

    merged = merge(profile.fragments)
    app.out.print(f"{profile.name}: {profile.summary}")
    app.out.print(f"profile    {profile.path}")
    app.out.print(f"package    {profile.package}")
    app.out.print(f"base       {profile.base}, {len(merged.requests)} options from {len(profile.fragments)} fragments")
    for item in profile.may_drop:
        app.out.print(f"may drop   CONFIG_{item.symbol}: {item.reason}")
    if built is None:
        app.out.print(f"built      not yet: run `rastos kernel build --profile {profile.name}`")
    else:
        app.out.print(f"built      {built.version} from {built.source} in {_duration(built.seconds)}")
        app.out.print(f"release    {built.release}")
        app.out.print(f"sizes      kernel {_size(built.image_size)}, package {_size(built.package_size)}")
        app.out.print(f"file       {built.package}")
        app.out.print(f"config     {built.config}")
    rows = [[item.symbol, item.value, item.origin] for item in merged.requests]
    app.out.table("Options", ["option", "value", "asked for by"], rows)


def _profile(profile: KernelProfile, *, options: bool = False) -> dict[str, Any]:
    from rastos.kernel import merge

    facts: dict[str, Any] = {
        "name": profile.name,
        "summary": profile.summary,
        "base": profile.base,
        "package": profile.package,
        "path": str(profile.path),
        "fragments": [str(path) for path in profile.fragments],
        "may_drop": [{"symbol": item.symbol, "reason": item.reason} for item in profile.may_drop],
    }
    if options:
        requests = merge(profile.fragments).requests
        facts["options"] = [{"symbol": item.symbol, "value": item.value, "origin": item.origin} for item in requests]
    return facts


def _show_plan(app: Application, plan: BuildPlan) -> None:
    app.out.print(f"package    {plan.profile.package}")
    app.out.print(f"source     {plan.source.title}{'' if plan.source.unpacked else ' (to be unpacked)'}")
    app.out.print(f"options    {len(plan.merged.requests)} on {plan.profile.base}")
    app.out.print(f"fragments  {', '.join(path.name for path in plan.fragments)}")
    for item in plan.merged.overrides:
        earlier, later = item.earlier, item.later
        app.out.print(f"overrides  {later.symbol}: {earlier.value} ({earlier.origin}) → {later.value} ({later.origin})")
    app.out.print(f"toolchain  {'; '.join(plan.toolchain)}")
    app.out.print(f"key        {plan.key}")
    app.out.print("would do   nothing: it is built" if plan.cached else f"would do   build in {plan.tree}")


def _cache(app: Application) -> Path:
    return app.config.cache / "kernel"


def _repository(app: Application) -> Any:
    from rastos.package import LocalRepository

    return LocalRepository(app.config.repository)


def _size(count: int) -> str:
    from rastos.cli import render

    return render.size(count)


def _duration(count: float) -> str:
    from rastos.cli import render

    return render.seconds(count)


def _further() -> None:
    from rastos.cli.kernel_check import check, diff

    kernel.add_command(check)
    kernel.add_command(diff)


_further()
