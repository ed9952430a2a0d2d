"""`rastos image ls`."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.image.arguments import place_of
from rastos.cli.options import json_option
from rastos.cli.render import plain

if TYPE_CHECKING:
    from rastos.installer import Entry


@click.command()
@click.argument("image", metavar="IMAGE[:SNAPSHOT]")
@click.argument("path", metavar="[PATH]", required=False)
@click.option("-R", "--recursive", is_flag=True, help="Whole trees; links are not gone into.")
@json_option
@click.pass_obj
def ls(app: Application, image: str, path: str | None, recursive: bool, as_json: bool) -> None:
    """List files of an image as `ls -l` does, with the image's own user names.

    Without a snapshot: the machine as it boots next, with the /etc of its deployment and the shared state.

    Example: rastos image ls images/server.qcow2 /etc/systemd
    """
    from rastos.installer import list_image

    reference, place = place_of(image, path, "/")
    found = list_image(reference, place, recursive=recursive)
    if as_json:
        app.out.json(list(found))
        return
    widths = [max((len(row[column]) for row in map(_cells, found)), default=0) for column in range(4)]
    for item in found:
        links, owner, group, size = _cells(item)
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(item.modified))
        name = item.path if recursive or len(found) == 1 and item.path == place else item.path.rpartition("/")[2]
        arrow = f" -> {plain(item.target)}" if item.target else ""
        app.out.raw(
            f"{stat.filemode(item.mode)} {links:>{widths[0]}} {owner:<{widths[1]}} {group:<{widths[2]}} "
            f"{size:>{widths[3]}} {when} {plain(name)}{arrow}"
        )


def _cells(item: Entry) -> tuple[str, str, str, str]:
    size = f"{item.device[0]}, {item.device[1]}" if item.kind.endswith("device") else str(item.size)
    return str(item.links), item.owner or str(item.uid), item.group or str(item.gid), size
