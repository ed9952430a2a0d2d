"""`rastos image resize`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("size")
@dry_run_option
@json_option
@click.pass_obj
def resize(app: Application, image: Path, size: str, dry_run: bool, as_json: bool) -> None:
    """Make an image's disk larger or smaller, with its root. SIZE is the new size, such as 8G, or what is added: +2G.

    A stop at any moment leaves an image that works; the same command again goes on.

    Example: rastos image resize images/server.qcow2 8G
    """
    from rastos.installer import parse_size, plan_resize, resize_image

    if size.startswith("+"):
        from rastos.installer import image_size

        wanted = image_size(image) + parse_size(size[1:], what="SIZE")
    else:
        wanted = parse_size(size, what="SIZE")
    plan = plan_resize(image, wanted)
    if not as_json:
        rows = [
            ("image", f"{plan.path} ({plan.format})"),
            ("disk", f"{render.size(plan.size)} -> {render.size(plan.wanted)}"),
            ("root", f"{render.size(plan.root.size)} -> {render.size(plan.root_wanted)}"),
            ("order", ", ".join(plan.steps())),
        ]
        if plan.least:
            rows.insert(3, ("least", f"{render.size(plan.least)} now; {render.size(plan.used)} are used"))
        for name, value in rows:
            app.out.say(f"{name:>12}  {value}")
    if not dry_run:
        resize_image(plan, app.progress)
    if as_json:
        app.out.json(plan.to_json())
    elif not dry_run:
        app.out.print(f"{plan.path}: {render.size(plan.wanted)}, the root has {render.size(plan.root_wanted)}")
