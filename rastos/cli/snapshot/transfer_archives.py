"""Snapshots as archives that others can read: export, import."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@click.option("--oci", type=click.Path(path_type=Path), metavar="DIR", help="An OCI image layout in this new folder.")
@click.option("--tar", type=click.Path(path_type=Path), metavar="FILE", help="An archive: .tar, .tar.zst or .tar.gz.")
@click.option("--reference", "called", metavar="NAME", default="", help="The image's name in the layout.")
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip"]),
    default="zstd",
    show_default=True,
    help="Of the image's layer; some programs read gzip only.",
)
@image_option
@dry_run_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    reference: str,
    oci: Path | None,
    tar: Path | None,
    called: str,
    compression: str,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a snapshot as an OCI image layout or a tar archive, with owners, modes and extended attributes.

    Examples: rastos snapshot export 3 --oci web; rastos snapshot export latest --tar web.tar.zst
    """
    from rastos.snapshot import export_oci, export_tar

    app: Application = ctx.obj
    if (oci is None) == (tar is None):
        raise click.UsageError("Choose one of --oci DIR and --tar FILE.", ctx)
    with opened_store(app, image, writable=False, purpose="export a snapshot") as store:
        snapshot = store.snapshot(reference)
        if dry_run:
            app.out.print(f"would export snapshot {snapshot.id} to {oci or tar}: {snapshot.description}")
            return
        if oci is not None:
            made = export_oci(store, snapshot.id, oci, app.progress, name=called, compression=compression)
        else:
            assert tar is not None
            made = export_tar(store, snapshot.id, tar, app.progress)
    if as_json:
        app.out.json(made)
    else:
        app.out.print(f"exported snapshot {made.snapshot} to {made.target}: {made.paths} paths, {made.digest}")


@click.command("import")
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path, exists=True))
@click.option("-d", "--description", default="", help="What the new snapshot is for.")
@click.option("--name", default="", help="A name to call it by.")
@click.option("--reference", "called", metavar="NAME", default="", help="Which image of a layout that has several.")
@image_option
@json_option
@click.pass_obj
def import_(
    app: Application, source: Path, description: str, name: str, called: str, image: Path | None, as_json: bool
) -> None:
    """Make a root snapshot of an OCI image layout (a folder) or a tar archive. Links are not followed, devices refused.

    Examples: rastos snapshot import web; rastos snapshot import web.tar.zst --name web
    """
    from rastos.snapshot import import_archive

    with opened_store(app, image, writable=True, purpose="import a snapshot") as store:
        made = import_archive(store, source, app.progress, description=description, name=name, reference=called)
    if as_json:
        app.out.json(made)
        return
    kernel = made.snapshot.kernel or "no kernel: it can't be deployed as it is"
    app.out.print(f"imported snapshot {made.snapshot.id}: {made.snapshot.description} ({made.paths} paths, {kernel})")
    if made.left_out:
        app.out.say(f"  {made.left_out} extended attributes of another file system were left out")
