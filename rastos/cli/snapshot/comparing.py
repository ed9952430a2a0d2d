"""What differs between snapshots."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="latest")
@click.option("--packages-only", is_flag=True, help="Leave files out.")
@image_option
@json_option
@click.pass_obj
def diff(app: Application, before: str, after: str, packages_only: bool, image: Path | None, as_json: bool) -> None:
    """Show what differs between two snapshots: packages, /etc, files, kernel."""
    from rastos.snapshot import difference

    with opened_store(app, image, writable=False, purpose="compare snapshots") as store:
        found = difference(store, store.snapshot(before).id, store.snapshot(after).id, files=not packages_only)
    if as_json:
        app.out.json(found)
        return
    app.out.print(f"snapshot {found.before} → {found.after}")
    if found.kernel[0] != found.kernel[1]:
        app.out.print(f"kernel {found.kernel[0]} → {found.kernel[1]}")
    from rastos.cli.drawing import shown_version

    for item in found.packages:
        sign = "+" if not item.before else "−" if not item.after else "~"
        versions = " → ".join(shown_version(text) for text in (item.before, item.after) if text)
        app.out.print(f"{sign} {item.name} {versions}")
    signs = {"added": "+", "removed": "−", "changed": "~"}
    for what, path in (*found.etc, *found.files):
        app.out.print(f"{signs[what]} /{path}")
    if not (found.packages or found.etc or found.files):
        app.out.print("no difference")
