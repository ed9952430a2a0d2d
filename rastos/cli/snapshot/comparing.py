"""What differs between snapshots, and when a path changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Difference

SIGNS = {"added": "+", "removed": "−", "changed": "~"}


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="latest")
@click.option(
    "--only",
    default="",
    metavar="PART,...",
    help="Only these parts: packages, kernel, config, command-line, services, etc, files.",
)
@click.option("--packages-only", is_flag=True, hidden=True, help="The same as --only packages.")
@image_option
@json_option
@click.pass_obj
def diff(
    app: Application, before: str, after: str, only: str, packages_only: bool, image: Path | None, as_json: bool
) -> None:
    """Show what differs between two snapshots: packages, kernel (its options, command line), services, /etc, files."""
    from rastos.snapshot import SECTIONS, difference

    parts = ["packages"] if packages_only else [word.strip() for word in only.split(",") if word.strip()]
    with opened_store(app, image, writable=False, purpose="compare snapshots") as store:
        found = difference(store, store.snapshot(before).id, store.snapshot(after).id, only=parts or SECTIONS)
    if as_json:
        app.out.json(found)
    else:
        for line in _difference_lines(found):
            app.out.print(line)


def _difference_lines(found: Difference) -> list[str]:
    from rastos.cli.drawing import shown_version

    lines = [f"snapshot {found.before} → {found.after}"]

    def section(title: str, what: list[str]) -> None:
        if what:
            lines.extend(["", f"{title} ({len(what)})", *(f"  {line}" for line in what)])

    packages = []
    for item in found.packages:
        sign = "+" if not item.before else "−" if not item.after else "~"
        versions = " → ".join(shown_version(text) for text in (item.before, item.after) if text)
        packages.append(f"{sign} {item.name} {versions}")
    section("packages", packages)
    if found.kernel[0] != found.kernel[1]:
        lines += ["", f"kernel {found.kernel[0] or 'none'} → {found.kernel[1] or 'none'}"]
    section(
        "kernel options", [f"{one.name} {one.before or 'not set'} → {one.after or 'not set'}" for one in found.config]
    )
    if found.command_line[0] != found.command_line[1]:
        lines += ["", "kernel command line", f"  − {found.command_line[0]}", f"  + {found.command_line[1]}"]
    section("services", [f"{one.name} {one.before or 'off'} → {one.after or 'off'}" for one in found.services])
    section("/etc", [f"{SIGNS[what]} /{path}" for what, path in found.etc])
    section("files", [f"{SIGNS[what]} /{path}" for what, path in found.files])
    if not found:
        lines.append("no difference")
    return lines


@click.command()
@click.argument("path")
@click.option("--of", "reference", metavar="ID", help="Only on the line from the root of the tree to this snapshot.")
@image_option
@json_option
@click.pass_obj
def log(app: Application, path: str, reference: str | None, image: Path | None, as_json: bool) -> None:
    """Show in which snapshots a path appeared, changed or went, the newest first."""
    from rastos.snapshot import path_log

    with opened_store(app, image, writable=False, purpose="look for changes of a path") as store:
        found = path_log(store, path, of=None if reference is None else store.snapshot(reference).id)
    if as_json:
        app.out.json(list(found))
        return
    rows = [
        [
            item.snapshot,
            render.age(item.created),
            item.what,
            ", ".join(item.parts),
            render.size(item.size),
            item.description,
        ]
        for item in reversed(found)
    ]
    app.out.table(f"/{path.strip('/')}", ["id", "age", "what", "of it", "size", "description"], rows)
