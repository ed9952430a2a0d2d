"""What a snapshot is called and said to be: describe, tag, pin, unpin."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Snapshot, Store


def _record(app: Application, store: Store, item: Snapshot, said: str, *, dry_run: bool, as_json: bool) -> None:
    if not dry_run:
        store.update(item)
        store.sync()
    if as_json:
        app.out.json(item.to_json())
    else:
        app.out.print(f"{'would be: ' if dry_run else ''}snapshot {item.id} {said}")


@click.command()
@click.argument("reference", metavar="ID")
@click.argument("text", metavar="[TEXT]", required=False)
@click.option("--name", metavar="NAME", help="The name to call it by; '' takes it away.")
@click.option("--note", metavar="TEXT", help="A longer note; '' takes it away, '-' reads it from standard input.")
@image_option
@dry_run_option
@json_option
@click.pass_context
def describe(
    ctx: click.Context,
    reference: str,
    text: str | None,
    name: str | None,
    note: str | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say what a snapshot is: TEXT is its description, one line. Its content can't be changed, only what is said of it."""
    from rastos.snapshot import check_name

    if text is None and name is None and note is None:
        raise click.UsageError("Nothing to say: give TEXT, --name or --note.", ctx)
    if note == "-":
        note = sys.stdin.read()
    app: Application = ctx.obj
    with opened_store(app, image, writable=not dry_run, purpose="describe a snapshot") as store:
        item = store.snapshot(reference)
        if name:
            check_name(store, name, of=item.id)
        item = replace(
            item,
            description=item.description if text is None else " ".join(text.split()),
            name=item.name if name is None else name,
            note=item.note if note is None else note.strip(),
        )
        words = f"{item.name}: {item.description}" if item.name else f"is now: {item.description}"
        _record(app, store, item, words, dry_run=dry_run, as_json=as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("reference", metavar="ID")
@click.argument("changes", metavar="[+]TAG|-TAG...", nargs=-1, required=True, type=click.UNPROCESSED)
@image_option
@dry_run_option
@json_option
@click.pass_obj
def tag(
    app: Application, reference: str, changes: tuple[str, ...], image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Give a snapshot tags or take them away: rastos snapshot tag 3 +tested -draft."""
    from rastos.errors import UserError
    from rastos.snapshot import check_tag

    with opened_store(app, image, writable=not dry_run, purpose="tag a snapshot") as store:
        item = store.snapshot(reference)
        tags = list(item.tags)
        for change in changes:
            if change.startswith("-"):
                if change[1:] not in tags:
                    raise UserError(
                        f"snapshot {item.id} has no tag '{change[1:]}'",
                        next_step=f"its tags: {', '.join(tags) or 'none'}",
                    )
                tags.remove(change[1:])
            else:
                check_tag(change.removeprefix("+"))
                tags.append(change.removeprefix("+"))
        item = replace(item, tags=tuple(dict.fromkeys(tags)))
        words = " ".join(f"#{word}" for word in item.tags) or "has no tags"
        _record(app, store, item, words, dry_run=dry_run, as_json=as_json)


@click.command()
@click.argument("reference", metavar="ID")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def pin(app: Application, reference: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Keep a snapshot whatever retention says; it can't be deleted until it is unpinned."""
    _pinned(app, reference, image, True, dry_run=dry_run, as_json=as_json)


@click.command()
@click.argument("reference", metavar="ID")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def unpin(app: Application, reference: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Take a snapshot's pin out: retention decides again."""
    _pinned(app, reference, image, False, dry_run=dry_run, as_json=as_json)


def _pinned(app: Application, reference: str, image: Path | None, value: bool, *, dry_run: bool, as_json: bool) -> None:
    with opened_store(app, image, writable=not dry_run, purpose="pin a snapshot") as store:
        item = replace(store.snapshot(reference), pinned=value)
        _record(app, store, item, "is pinned" if value else "is not pinned", dry_run=dry_run, as_json=as_json)
