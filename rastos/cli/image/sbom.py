"""`rastos image sbom`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.image.arguments import reference_of, source_date_epoch, write_text


@click.command()
@click.argument("image", metavar="[IMAGE[:SNAPSHOT]]", required=False)
@click.option(
    "--format", "kind", type=click.Choice(["spdx", "cyclonedx"]), default="spdx", show_default=True, help="Which JSON."
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@click.pass_obj
def sbom(app: Application, image: str | None, kind: str, output: Path | None) -> None:
    """Write a software bill of materials: SPDX 2.3 or CycloneDX 1.6, the same for the same image.

    SOURCE_DATE_EPOCH sets its date; without it that is the snapshot's.

    Example: rastos image sbom images/server.qcow2 --format cyclonedx --output server.cdx.json
    """
    from rastos.installer import bill_of_materials, image_manifest

    epoch = source_date_epoch()
    found = bill_of_materials(image_manifest(reference_of(app, image), app.progress), kind, epoch=epoch)
    write_text(app, json.dumps(found, indent=2, ensure_ascii=False), output, kind)
    if output:
        app.out.say(f"{len(found['packages' if kind == 'spdx' else 'components'])} parts")
