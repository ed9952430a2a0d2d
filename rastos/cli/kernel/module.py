"""`rastos kernel module build` and `sign-module`: modules from outside the kernel's tree."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import dry_run_option, json_option

key_option = click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file with key and certificate (default: the one that signs the kernels built here).",
)


@click.group()
def module() -> None:
    """Build modules from outside the kernel's tree into packages."""


@module.command("build")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--kernel", required=True, help="For which kernel: profile, package or release.")
@click.option("--name", default="", help="Name of the package, before the kernel's (default: dkms.conf, the folder).")
@click.option("--version", default="", help="Version of the module (default: dkms.conf, 1).")
@key_option
@click.option("--no-sign", is_flag=True, help="Don't sign: for kernels that load what isn't.")
@dry_run_option
@json_option
@click.pass_obj
def module_build(
    app: Application,
    folder: Path,
    kernel: str,
    name: str,
    version: str,
    key: Path | None,
    no_sign: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compile the modules in FOLDER against a kernel's headers and package them, signed, for the local repository."""
    from rastos.kernel import built
    from rastos.kernel.external import build_module, choose_kernel, plan_module, read_source

    repository = places.repository(app)
    plan = plan_module(
        read_source(folder, name=name, version=version),
        choose_kernel(kernel, built(places.cache(app), repository)),
        key=None if no_sign else key or places.module_key(app),
        jobs=app.config.jobs,
        cache=places.cache(app),
        repository=repository,
    )
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
            return
        app.out.print(f"package    {plan.package} {plan.version}")
        app.out.print(f"source     {plan.source.folder}")
        app.out.print(f"kernel     {plan.kernel.name} {plan.kernel.version}, release {plan.kernel.release}")
        app.out.print(f"signed by  {plan.key or 'nobody'}")
        return
    made = build_module(plan, app.progress)
    if as_json:
        app.out.json(made)
        return
    app.out.print(f"{made.name} {made.version}: {render.size(made.size)}, {'signed' if made.signed else 'not signed'}")
    for path in made.modules:
        app.out.print(f"  {path}")
    app.out.print(str(made.package))


@click.command("sign-module")
@click.argument("kernel")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@key_option
@json_option
@click.pass_obj
def sign_module(app: Application, kernel: str, files: tuple[Path, ...], key: Path | None, as_json: bool) -> None:
    """Sign modules for KERNEL (profile, package or release) in place, by the kernel's own sign-file."""
    from rastos.kernel import built
    from rastos.kernel.external import choose_kernel, open_headers, sign_modules

    chosen = choose_kernel(kernel, built(places.cache(app), places.repository(app)))
    used = key or places.module_key(app)
    sign_modules(open_headers(chosen, places.cache(app)), used, files)
    if as_json:
        app.out.json({"kernel": chosen.name, "release": chosen.release, "key": used, "signed": files})
        return
    for path in files:
        app.out.print(f"signed {path} for {chosen.release}")
