"""`rastos kernel config`: a configuration's options, edited, compared, taken to another kernel version."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.kernel.config.options import edit_options
from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "show": ("show", "show", "What options are set to, who asked for them, what they hang on."),
    "edit": ("edit", "edit", "Change a profile's configuration in the kernel's menu; keep it as a fragment."),
    "diff": ("diff", "diff", "What differs between two configurations, in words."),
    "port": ("port", "port", "What becomes of a profile on another kernel version."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__, invoke_without_command=True)
@edit_options
@click.pass_context
def config(
    ctx: click.Context, profile: str | None, source: str | None, program: str, output: Path | None, dry_run: bool
) -> None:
    """Look at a kernel's configuration, edit it, compare it. With --profile and no command: edit."""
    if ctx.invoked_subcommand is None:
        if profile is None:
            click.echo(ctx.get_help())
            return
        from rastos.cli.kernel.config.edit import edit

        ctx.invoke(edit, profile=profile, source=source, program=program, output=output, dry_run=dry_run)
    elif profile is not None:
        name = ctx.invoked_subcommand
        raise click.UsageError(f"write --profile after the command: rastos kernel config {name} --profile {profile}")
