"""`rastos image cp`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import json_option


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option(
    "--owners", is_flag=True, help="Out: owners, set-user-id bits and attributes too (as the image has them)."
)
@click.option("--force", is_flag=True, help="Replace a file that is there; a folder never is.")
@json_option
@click.pass_obj
def cp(app: Application, source: str, target: str, owners: bool, force: bool, as_json: bool) -> None:
    """Copy a file or a tree out of an image, or into it; the side in the image is IMAGE[:SNAPSHOT]:/PATH.

    Into an image: a new snapshot is made, which boots once you deploy it; below /var, /home, /root and /srv the state that
    all deployments share is written to.

    Example: rastos image cp images/server.qcow2:/var/log ./log
    """
    from rastos.errors import UserError
    from rastos.installer import copy_from_image, copy_into_image, parse_place

    here, there = parse_place(source), parse_place(target)
    if (here is None) == (there is None):
        raise UserError(
            "one side has to be in an image, the other one here",
            next_step="write IMAGE:/PATH for the one in the image, as in: rastos image cp server.qcow2:/etc/fstab .",
        )
    if here is not None:
        copied = copy_from_image(*here, Path(target), owners=owners, force=force)
    else:
        assert there is not None
        copied = copy_into_image(Path(source), *there, force=force)
    if as_json:
        app.out.json(copied)
        return
    app.out.print(f"{copied.target}: {copied.paths} paths, {render.size(copied.size)}")
    for path, what in copied.left_out:
        app.out.say(f"left out: {render.plain(path)} is a {what}")
    if there is not None:
        image = there[0].path
        if copied.snapshot is None:
            app.out.say("written to the state that all deployments share; no snapshot was made")
        else:
            app.out.print(f"snapshot {copied.snapshot}")
            app.out.say(f"next: rastos snapshot deploy {copied.snapshot} --image {image}")
