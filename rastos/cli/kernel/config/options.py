"""Options that the commands of `rastos kernel config` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rastos.cli.options import dry_run_option

F = TypeVar("F", bound=Callable[..., Any])


def source_option(function: F) -> F:
    """--source: the kernel."""
    text = "The kernel it is for, as `kernel build` takes it (default: the newest that apt offers)."
    return click.option("--source", metavar="SOURCE", help=text)(function)


def fragment_options(function: F) -> F:
    """--config and --set: what comes on top of the profile."""
    text = "A further fragment, after the profile's: a file, or a shipped one by name (lockdep); may be repeated."
    function = click.option("--set", "settings", multiple=True, metavar="CONFIG_X=y", help="A single option, last.")(
        function
    )
    return click.option("--config", "fragments", multiple=True, metavar="FILE|NAME", help=text)(function)


def edit_options(function: F) -> F:
    """Those of `edit`, which the bare group takes as well."""
    for option in (
        dry_run_option,
        click.option(
            "--output",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Where the fragment is saved (default: NAME-local.config with the project's fragments).",
        ),
        click.option(
            "--with",
            "program",
            type=click.Choice(["menuconfig", "nconfig"]),
            default="menuconfig",
            show_default=True,
            help="The kernel's program to edit with.",
        ),
        source_option,
        click.option("--profile", metavar="PROFILE", help="The kernel profile whose configuration is edited."),
    ):
        function = option(function)
    return function
