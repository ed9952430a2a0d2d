"""`rastos image diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.image.arguments import reference_of
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.installer import ImageDifference

SIGNS = {"added": "+", "removed": "−", "changed": "~"}
TITLES = {
    "partitions": "partitions",
    "boot": "boot entries",
    "packages": "packages",
    "kernel": "kernel",
    "config": "kernel options",
    "command_line": "kernel command line",
    "services": "services",
}


@click.command()
@click.argument("before", metavar="A[:SNAPSHOT]")
@click.argument("after", metavar="B[:SNAPSHOT]")
@click.option(
    "--only",
    default="",
    metavar="PART,...",
    help="Only these parts: partitions, boot, packages, kernel, config, command-line, services, etc, files.",
)
@click.option("--path", default="", metavar="PATH", help="Only this file or folder (parts etc and files alone).")
@json_option
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, only: str, path: str, as_json: bool) -> None:
    """Show what differs between two images, or two snapshots of one.

    The status is as that of diff(1): 0 where nothing differs, 1 where something does (and 1 after an error, 2 after a wrong
    use, as everywhere).

    Example: rastos image diff old.qcow2 new.qcow2 --only packages,kernel
    """
    from rastos.installer import IMAGE_SECTIONS, image_difference

    app: Application = ctx.obj
    parts = [word.strip() for word in only.split(",") if word.strip()] or (["etc", "files"] if path else IMAGE_SECTIONS)
    one, two = reference_of(app, before), reference_of(app, after)
    found = image_difference(one, two, app.progress, only=parts, path=path)
    if as_json:
        app.out.json({"same": not found, "difference": found})
    else:
        for line in _lines(found):
            app.out.print(render.plain(line))
    ctx.exit(1 if found else 0)


def _lines(found: ImageDifference) -> list[str]:
    lines = [f"{found.before} → {found.after}"]
    for name, title in TITLES.items():
        changes = getattr(found, name)
        if changes:
            sizes = [render.size(count) for count in found.installed_size]
            grown = f", {sizes[0]} → {sizes[1]} installed" if name == "packages" else ""
            lines += ["", f"{title} ({len(changes)}){grown}", *(f"  {_value(item)}" for item in changes)]
    for name, title in (("etc", "/etc"), ("files", "files")):
        paths = getattr(found, name)
        if paths:
            lines += ["", f"{title} ({len(paths)})"]
            lines += [
                f"  {SIGNS[item.what]} /{item.path}" + (f"  ({', '.join(item.parts)})" if item.parts else "")
                for item in paths
            ]
    return lines if found else [*lines, "no difference"]


def _value(item: Any) -> str:
    sign = "+" if not item.before else "−" if not item.after else "~"
    return f"{sign} {item.name} " + " → ".join(text for text in (item.before, item.after) if text)
