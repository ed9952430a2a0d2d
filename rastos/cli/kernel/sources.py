"""`rastos kernel sources`: where kernel source can come from."""

from __future__ import annotations

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import json_option


@click.command()
@json_option
@click.pass_obj
def sources(app: Application, as_json: bool) -> None:
    """Kernel sources this host's apt offers; build one with `kernel build --source VERSION`."""
    from rastos.kernel import offers

    found = offers(places.cache(app))
    if as_json:
        app.out.json(found)
        return
    app.out.table(
        "", ["package", "version", "sha256"], [[item.package, item.version, item.sha256[:16]] for item in found]
    )
