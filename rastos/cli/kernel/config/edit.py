"""`rastos kernel config edit`: the kernel's menu on a profile's configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.kernel.config.options import edit_options

SHOWN = 40  # lines of the fragment


@click.command()
@edit_options
@click.pass_obj
def edit(
    app: Application, profile: str | None, source: str | None, program: str, output: Path | None, dry_run: bool
) -> None:
    """Change a profile's configuration in the kernel's own menu, and save what you changed as a fragment.

    The fragment has the fewest lines that give exactly the edited configuration on top of the profile. Where the file is
    there already, the edit starts from it.
    """
    from rastos.errors import UserError
    from rastos.kernel import edit_config, menu_editor, save_edited

    if profile is None:
        raise click.UsageError("name the profile: --profile PROFILE")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "a menu needs a terminal",
            next_step="run it on one, or write the options into a fragment: rastos kernel build --config FILE",
        )
    plan = places.plan(app, profile, source=source)
    target = output or app.config.profiles / "kernel/fragments" / f"{profile}-local.config"
    edited = edit_config(plan, menu_editor(program), target, app.progress)
    if edited.same:
        app.out.print("nothing was changed")
        return
    lines = [line for line in edited.text.splitlines() if "CONFIG_" in line]
    app.out.print(f"lines that make the {edited.changed} changes to {profile}: {len(lines)}")
    for line in lines[:SHOWN]:
        app.out.print(f"  {line}")
    if len(lines) > SHOWN:
        app.out.print(f"  … and {len(lines) - SHOWN} more")
    if dry_run:
        app.out.print(f"not saved to {target}")
        return
    save_edited(edited)
    app.out.print(f"saved to {target}")
    if target not in plan.fragments:
        app.out.print(f"build it: rastos kernel build --profile {profile} --config {_name(app, target)}")


def _name(app: Application, target: Path) -> str:
    """How `--config` names it."""
    return target.stem if target.parent == app.config.profiles / "kernel/fragments" else str(target)
