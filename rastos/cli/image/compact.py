"""`rastos image compact`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--compress",
    "compression",
    is_flag=False,
    flag_value="zlib",
    metavar="[zlib|zstd|none]",
    help="Of a qcow2 (default: as it is now).",
)
@click.option(
    "--balance",
    is_flag=False,
    flag_value=50,
    default=0,
    type=click.IntRange(0, 100),
    metavar="[PERCENT]",
    help="Join the file system's chunks that are used less than this first (50 where nothing is said); takes longer.",
)
@dry_run_option
@json_option
@click.pass_obj
def compact(app: Application, image: Path, compression: str | None, balance: int, dry_run: bool, as_json: bool) -> None:
    """Give back an image's unused blocks and pack the file anew. The image is replaced when the new file is whole.

    Example: rastos image compact images/server.qcow2 --compress zstd
    """
    from rastos.installer import compact_image, plan_compact

    plan = plan_compact(image, compression="" if compression == "none" else compression, balance=balance)
    if not as_json:
        packed = f"compressed by {plan.compression}" if plan.compression else "not compressed"
        rows = [
            (
                "image",
                f"{plan.source.path} ({plan.source.format.name}, {render.size(plan.source.bytes_on_disk)} on disk)",
            ),
            ("new file", packed + (f", chunks below {plan.balance} % joined" if plan.balance else "")),
        ]
        for name, value in rows:
            app.out.say(f"{name:>12}  {value}")
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    made = compact_image(plan, app.progress)
    if as_json:
        app.out.json({**plan.to_json(), "before": made.before, "after": made.after, "kept": made.kept})
        return
    before, after = render.size(made.before), render.size(made.after)
    how = "no smaller file is possible, it stays" if made.kept else f"{before} -> {after} on disk"
    app.out.print(f"{made.path}: {how}")
