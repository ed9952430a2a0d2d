"""What a snapshot declares of its state."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@image_option
@json_option
@click.pass_obj
def state(app: Application, reference: str, image: Path | None, as_json: bool) -> None:
    """Show which state a snapshot shares, keeps for itself or resets, and which versions wrote it."""
    from rastos.snapshot import state_report

    with opened_store(app, image, writable=False, purpose="look at the state contract") as store:
        report = state_report(store, store.snapshot(reference).id)
    if as_json:
        app.out.json(report)
        return
    app.out.print(f"snapshot {report.snapshot}; all of /var, /home, /root and /srv that is not named here is shared")
    for path in report.paths:
        where = path.subvolume or "a new subvolume with each deployment"
        filled = f", filled from {path.source}" if path.source else ""
        app.out.print(f"  /{path.path}  {path.way}: {where}{filled}  ({path.declared})")
    for stamp in report.stamps:
        by = f" (snapshot {stamp.by})" if stamp.by is not None else ""
        last = f", last written by version {stamp.written}{by}" if stamp.written else ", not written yet"
        text = f"  {stamp.name}  version {stamp.version}{last}"
        if stamp.newer:
            text += ": newer than this snapshot" + (", which refuses it" if stamp.refuse else "")
        app.out.print(text, style="yellow" if stamp.newer else None)
