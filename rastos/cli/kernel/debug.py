"""`rastos kernel debug`: a kernel in QEMU, stopped and looked into by gdb."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.kernel import BuiltKernel


@click.command()
@click.argument("profile", metavar="[PROFILE]", required=False)
@click.option(
    "--image",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Boot this image with its kernel; without one the kernel runs alone, up to where it wants its root.",
)
@click.option("--wait", is_flag=True, help="Stop before the first instruction until gdb continues.")
@click.option("--port", type=click.IntRange(1, 65535), help="A port of 127.0.0.1 for gdb, instead of a private socket.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@dry_run_option
@json_option
@click.pass_obj
def debug(
    app: Application,
    profile: str | None,
    image: Path | None,
    wait: bool,
    port: int | None,
    memory: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start a built kernel in QEMU with the gdb stub and print the line for gdb; the console follows, Ctrl-] leaves.

    Example: rastos kernel debug development --image images/server.qcow2 --wait
    """
    from rastos.installer.vm import DebugPlan, debugged, pass_through, probe_accelerator
    from rastos.kernel import find_vmlinux

    if profile is None and image is None:
        raise click.UsageError("Name a profile, or an image with --image.")
    kernel = _kernel(app, profile, image)
    vmlinux = find_vmlinux(kernel, places.cache(app))
    plan = DebugPlan(kernel, vmlinux, image, port or 0, wait, memory)
    if not vmlinux.debug_info:
        app.out.say(f"{vmlinux.path} has symbols, but no lines and types: the development profile has them")
    if dry_run:
        line = plan.gdb(f"127.0.0.1:{port}" if port else "SOCKET")
        if as_json:
            app.out.json({"kernel": kernel.name, "release": kernel.release, "vmlinux": vmlinux.path, "gdb": line})
        else:
            app.out.print(shlex.join(line))
        return
    accelerator = probe_accelerator(app.config.cache)
    with debugged(plan, accelerator, cache=app.config.cache) as (machine, line):
        if as_json:
            app.out.json({"kernel": kernel.name, "release": kernel.release, "vmlinux": vmlinux.path, "gdb": line})
        else:
            app.out.print(shlex.join(line))
        app.out.say(
            "in another terminal; the console is below, Ctrl-] leaves" + (", gdb has to continue it" if wait else "")
        )
        sys.stdout.flush()
        pass_through(machine.spec.console, lambda: machine.process.poll() is None)


def _kernel(app: Application, profile: str | None, image: Path | None) -> BuiltKernel:
    """The built kernel somebody names, or the one an image boots. UserError: it wasn't built here."""
    from rastos.errors import UserError
    from rastos.installer import image_kernel
    from rastos.kernel import built

    wanted = profile
    if wanted is None:
        assert image is not None
        wanted = image_kernel(image, cache=app.config.cache).package
    known = built(places.cache(app), places.repository(app))
    found = [item for item in known if wanted in (item.profile, item.name)]
    if not found:
        raise UserError(
            f"'{wanted}' is no kernel built here, and only those have a vmlinux",
            next_step=f"build it: rastos kernel build --profile {wanted}; built: {', '.join(item.profile for item in known) or 'none'}",
        )
    return found[0]
