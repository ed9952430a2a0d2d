"""`rastos image manifest`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.image.arguments import reference_of, write_text
from rastos.cli.options import json_option


@click.command()
@click.argument("image", metavar="[IMAGE[:SNAPSHOT]]", required=False)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON to this file.")
@json_option
@click.pass_obj
def manifest(app: Application, image: str | None, output: Path | None, as_json: bool) -> None:
    """Show what an image holds: packages with version, channel, size and digest, kernel, partitions, command lines.

    Example: rastos image manifest images/server.qcow2 --output server.json
    """
    from rastos.installer import image_manifest

    found = image_manifest(reference_of(app, image), app.progress)
    if as_json or output:
        write_text(app, json.dumps(found.to_json(), indent=2, default=str, ensure_ascii=False), output, "manifest")
        return
    kernel = found.kernel
    named = f"profile {found.profile or 'unknown'}, {found.distribution.name} {found.distribution.version}".rstrip()
    app.out.print(f"{found.path}: {named}, snapshot {found.snapshot}")
    for name, value in (
        ("key", found.key),
        ("tree digest", found.tree_digest),
        ("package digest", found.package_digest),
        ("kernel", f"{kernel.release} ({kernel.package})" if kernel.release else "none"),
        ("kernel config", f"sha256 {kernel.config_sha256}" if kernel.config_sha256 else "not in the image"),
        ("ESP", f"sha256 {found.esp_sha256}"),
    ):
        app.out.print(f"{name:>14}  {value}")
    for part in found.partitions:
        app.out.print(f"{'partition':>14}  {part.number} {part.name}, {render.size(part.size)}, {part.uuid}")
    for item in found.deployments:
        app.out.print(
            f"{'deployment':>14}  {item.number} ({item.state}), snapshot {item.snapshot}: {item.command_line}"
        )
    app.out.print()
    app.out.table(
        "Packages",
        ["package", "version", "channel", "installed", "licence", "sha256 of its file"],
        [
            [
                part.name,
                part.version,
                part.channel or "?",
                render.size(part.installed_size),
                part.licences.expression[:40] or "?",
                part.file_sha256 or "?",
            ]
            for part in found.packages
        ],
    )
