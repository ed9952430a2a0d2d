"""`rastos kernel sources` and `trust`: where kernel source can come from, and whose signatures count."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import json_option


@click.command()
@click.option("--remote", is_flag=True, help="What kernel.org (or the mirror) has released; asks the network.")
@click.option("--mirror", metavar="URL", help="Where kernel.org's releases are fetched from (kernel_mirror).")
@json_option
@click.pass_obj
def sources(app: Application, remote: bool, mirror: str | None, as_json: bool) -> None:
    """Versions that can be built: what this host's apt offers, and what is unpacked here."""
    from rastos.kernel import list_sources, releases

    cache = places.cache(app)
    if remote:
        released = releases(mirror or app.config.kernel_mirror, work=cache / "work")
        if as_json:
            app.out.json(released)
            return
        rows = [[f"kernel.org:{item.version}", item.moniker, item.released] for item in released]
        app.out.table("", ["--source", "kind", "released"], rows)
        return
    found = list_sources(cache)
    if as_json:
        app.out.json(found)
        return
    rows = [
        [
            item.version if item.kind == "deb" else item.title,
            ", ".join(item.suites) or item.kind,
            item.package,
            "yes" if item.unpacked else "",
        ]
        for item in found
    ]
    app.out.table("", ["version", "suite", "package", "unpacked here"], rows)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_obj
def trust(app: Application, file: Path, as_json: bool) -> None:
    """Trust the OpenPGP keys in FILE for the signatures of kernel.org's tarballs."""
    from rastos.kernel import trust_keys

    keys = trust_keys(file, places.keyring(app))
    if as_json:
        app.out.json([{"fingerprint": fingerprint, "name": name} for fingerprint, name in keys])
        return
    for fingerprint, name in keys:
        app.out.print(f"{fingerprint}  {name}")
    app.out.say("trusted for kernel.org's tarballs; compare the fingerprints with https://kernel.org/signature.html")
