"""`rastos image convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.image.packing import compression_option
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.installer import ConvertPlan


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", metavar="FORMAT", default="", help="The new format (default: what OUTPUT's name says)."
)
@compression_option
@click.option("--overlay", is_flag=True, help="IMAGE may be an overlay: take what the file it stands on holds as well.")
@click.option("--force", is_flag=True, help="Overwrite OUTPUT.")
@dry_run_option
@json_option
@click.pass_obj
def convert(
    app: Application,
    image: Path,
    output: Path,
    kind: str,
    compression: str,
    overlay: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write an image in another format. IMAGE stays as it is; OUTPUT appears when it is whole.

    Formats: qcow2, raw, vmdk, vmdk-stream, vdi, vhdx, vhd, vhd-dynamic; tar and oci hold the tree of the snapshot that boots
    next.

    Example: rastos image convert images/server.qcow2 server.vmdk
    """
    from rastos.installer import convert_image, plan_convert

    plan = plan_convert(image, output, kind=kind, compression=compression, force=force, overlay=overlay)
    if not as_json:
        _show(app, plan)
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    made = convert_image(plan, app.progress)
    if as_json:
        app.out.json({**plan.to_json(), "bytes_on_disk": made.bytes_on_disk})
    else:
        app.out.print(f"{made.path}: {made.format}, {render.size(made.bytes_on_disk)} on disk")


def _show(app: Application, plan: ConvertPlan) -> None:
    source, size = plan.source, render.size
    packed = f", compressed by {plan.compression}" if plan.compression else ""
    rows = [
        ("image", f"{source.path} ({source.format.name}, {size(source.size)}, {size(source.data)} of data)"),
        (
            "output",
            f"{plan.output} ({plan.format.name}{packed})" + (", replaces what is there" if plan.replaces else ""),
        ),
        ("for", plan.format.purpose),
    ]
    if source.backing:
        rows.insert(1, ("overlay on", source.backing))
    if plan.size != source.size:
        rows.append(("disk", f"{size(plan.size)}: the format wants whole {size(plan.format.multiple)}"))
    if plan.format.kind == "disk":
        rows.append(("space", f"up to {size(plan.needed)}, {size(plan.free)} are free"))
    for name, value in rows:
        app.out.say(f"{name:>12}  {value}")
