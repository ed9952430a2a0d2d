"""`rastos image cat`."""

from __future__ import annotations

import sys

import click

from rastos.cli.app import Application
from rastos.cli.image.arguments import place_of


@click.command()
@click.argument("image", metavar="IMAGE[:SNAPSHOT]")
@click.argument("path", metavar="PATH", required=False)
@click.pass_obj
def cat(app: Application, image: str, path: str | None) -> None:
    """Print a file of an image, byte for byte. Links are followed inside the image only.

    Example: rastos image cat images/server.qcow2 /etc/fstab
    """
    from rastos.installer import read_from_image

    reference, place = place_of(image, path)
    read_from_image(reference, place, sys.stdout.buffer)
