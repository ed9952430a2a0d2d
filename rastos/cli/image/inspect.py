"""`rastos image inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import chosen_image, image_option, json_option

if TYPE_CHECKING:
    from rastos.installer import Inspection


@click.command()
@click.argument("path", metavar="[IMAGE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@image_option
@json_option
@click.pass_obj
def inspect(app: Application, path: Path | None, image: Path | None, as_json: bool) -> None:
    """Show partitions, snapshots, deployments, boot entries and sizes of an image. Without root: all but what is on btrfs.

    Example: rastos image inspect images/server.qcow2 --json
    """
    from rastos.installer import inspect_image

    found: Inspection = inspect_image(path or chosen_image(image, app.config.output))
    if as_json:
        app.out.json(found)
        return
    size = render.size
    app.out.print(f"{found.path}: {found.format}, {size(found.size)}, {size(found.bytes_on_disk)} on disk")
    if found.made:
        app.out.print(
            f"profile {found.made['profile']}, {len(found.made['packages'])} packages, content {found.made['key'][:12]}"
        )
    if found.encrypted or found.mirrored:
        words = ["encrypted by LUKS2"] * found.encrypted + ["mirrored on a second disk"] * found.mirrored
        app.out.print(f"the root is {' and '.join(words)}")
    if not found.complete:
        app.out.say("you are not root: snapshots and deployments are on btrfs, which has to be mounted for a look")
        app.out.print(f"ESP {size(found.esp_free)} of {size(found.esp_size)} free")
        _show_disk(app, found)
        return
    app.out.print(
        f"root {size(found.root_used)} of {size(found.root_size)} used, ESP {size(found.esp_free)} of {size(found.esp_size)} free"
    )
    for number in found.bad:
        app.out.print(f"snapshot {number} was found bad")
    for record in found.sessions:
        app.out.print(f"session {record.name}, a copy of snapshot {record.base}")
    _show_disk(app, found)
    app.out.print()
    app.out.table(
        "Snapshots",
        ["id", "parent", "kernel", "packages", "description"],
        [
            [item.id, "" if item.parent is None else item.parent, item.kernel, item.packages, item.description]
            for item in found.snapshots
        ],
    )
    app.out.print()
    entries = {entry.deployment: entry for entry in found.entries}
    rows = []
    for item in found.deployments:
        entry = entries.get(item.number)
        state = entry.state if entry else "no entry"
        tries = "" if entry is None or entry.tries_left is None else entry.tries_left
        rows.append(
            [item.number, item.snapshot, state, tries, "next" if item.number == found.next else "", item.description]
        )
    app.out.table("Deployments", ["number", "snapshot", "state", "tries", "boots", "description"], rows)


def _show_disk(app: Application, found: Inspection) -> None:
    size = render.size
    app.out.print()
    app.out.table(
        "Partitions",
        ["number", "name", "start", "size", "uuid"],
        [[part.number, part.name, size(part.start), size(part.size), part.uuid] for part in found.partitions],
    )
    app.out.print()
    app.out.table(
        "Boot entries",
        ["entry", "deployment", "state", "starts", "command line"],
        [[item.name, item.deployment, item.state, " ".join(item.starts), item.options] for item in found.entries],
    )
