"""The manifest itself: `add`, `remove`, `import`, `schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option, opened_tree, tree_options

if TYPE_CHECKING:
    from rastos.package import Edit


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--set", "chosen", default="", metavar="NAME", help="The set to add to; made where there is none.")
@click.option("--version", default="", metavar="VERSIONS", help='Versions that will do: "3.2" or ">=3, <4".')
@click.option("--reason", default="", help="Why; shown by plan and why.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def add(
    app: Application,
    names: tuple[str, ...],
    chosen: str,
    version: str,
    reason: str,
    manifest_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Declare packages in packages.toml; comments and order stay. `rastos package apply` installs them."""
    from rastos.package import add_packages

    path = manifest_path or app.config.manifest
    if not path.exists() and not dry_run:
        path.write_text("schema = 1\npackages = []\n", encoding="utf-8")
    _finish(app, add_packages(path, names, into=chosen, version=version, reason=reason), dry_run, as_json)


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--set", "chosen", default="", metavar="NAME", help="Only out of this set.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def remove(
    app: Application, names: tuple[str, ...], chosen: str, manifest_path: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Take packages out of packages.toml. `rastos package apply --prune` takes them out of a tree."""
    from rastos.package import remove_packages

    path = manifest_path or app.config.manifest
    _finish(app, remove_packages(path, names, out_of=chosen), dry_run, as_json)


def _finish(app: Application, edit: Edit, dry_run: bool, as_json: bool) -> None:
    from rastos.package import save

    if not dry_run and (edit.added or edit.removed):
        save(edit)
    if as_json:
        app.out.json({"path": edit.path, "added": edit.added, "removed": edit.removed})
        return
    for sign, pairs in (("+", edit.added), ("−", edit.removed)):
        for place, name in pairs:
            app.out.print(f"{sign} {name} ({place})")
    if not (edit.added or edit.removed):
        app.out.print("nothing to do: declared already")
    elif not dry_run:
        app.out.say(f"next: rastos package plan (the manifest is {edit.path})")


@click.command("import")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write it here (default: print it)."
)
@click.option("--offline", is_flag=True, help="Use the cached package indexes.")
@manifest_option
@tree_options
@dry_run_option
@json_option
@click.pass_obj
def import_(
    app: Application,
    output: Path | None,
    offline: bool,
    manifest_path: Path | None,
    root: Path | None,
    image: Path | None,
    reference: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a manifest from what is installed: what was asked for by name, whole groups, foreign packages apart.

    Also from a Debian system (its own, without --root): packages marked manual.
    """
    from rastos.errors import UserError
    from rastos.package import capture

    channels = channels_of(app, manifest_of(app, manifest_path))
    with opened_tree(app, root, image, reference, database=False) as target:
        found = capture(target, channels, app.progress, offline=offline)
    if as_json:
        app.out.json(found)
    elif output is None or dry_run:
        app.out.raw(found.text)
    else:
        if output.exists():
            raise UserError("this file exists already", on=output, next_step="name another, or remove it first")
        output.write_text(found.text, encoding="utf-8")
        app.out.print(f"{found.packages} packages, {len(found.foreign)} of them in no channel, in {output}")


@click.command()
@click.pass_obj
def schema(app: Application) -> None:
    """Print the manifest's JSON Schema, for editors: taplo, VS Code (Even Better TOML), Helix."""
    from rastos.package import json_schema

    app.out.json(json_schema())
