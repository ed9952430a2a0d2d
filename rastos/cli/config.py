"""`rastos config`: the settings in force."""

from __future__ import annotations

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option


@click.group()
def config() -> None:
    """Show the settings and where each comes from."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@json_option
@click.pass_obj
def show(app: Application, origin: bool, as_json: bool) -> None:
    """Show every setting."""
    from rastos.config import NAMES

    values = {name: str(getattr(app.config, name)) for name in NAMES}
    if as_json:
        app.out.json({name: {"value": value, "origin": app.config.origins[name]} for name, value in values.items()})
        return
    columns = ["setting", "value", "from"] if origin else ["setting", "value"]
    rows = [[name, value, app.config.origins[name]][: len(columns)] for name, value in values.items()]
    app.out.table("Settings", columns, rows)
