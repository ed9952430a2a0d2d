"""Sessions that were kept: list, enter, run, commit, discard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.changing_options import (
    check_names,
    described_options,
    network_option,
    package_options,
    package_source,
    show_made,
    split_command,
    words_of_intent,
)
from rastos.cli.snapshot.changing_shell import read_script, then_option, visit
from rastos.cli.snapshot.places import opened_store


@click.group()
def session() -> None:
    """Private copies of snapshots that stay until they are committed or discarded."""


@session.command("list")
@image_option
@json_option
@click.pass_obj
def list_(app: Application, image: Path | None, as_json: bool) -> None:
    """List the sessions that were kept."""
    from rastos.snapshot import kept_sessions

    with opened_store(app, image, writable=False, purpose="list sessions") as store:
        found = kept_sessions(store)
    if as_json:
        app.out.json([record.to_json() for record in found])
        return
    rows = []
    for record in found:
        state = f"interrupted: {record.doing}" if record.doing else "unfinished" if record.many else ""
        done = "many snapshots" if record.many else words_of_intent(record.intent)
        age = render.age(record.since) if record.since else ""
        rows.append([record.name, "" if record.base is None else record.base, age, done, state])
    app.out.table("Sessions", ["name", "of", "age", "done", "state"], rows)


@session.command()
@click.argument("kept", metavar="NAME")
@then_option
@network_option
@described_options
@image_option
@json_option
@click.pass_obj
def enter(app: Application, /, kept: str, then: str | None, network: bool, image: Path | None, **options: Any) -> None:
    """Open a shell in a session; it is kept unless its end says otherwise."""
    from rastos.snapshot import open_session

    check_names(options["name"], options["replace"])
    script = read_script()
    then = then or ("keep" if script is not None else None)
    with opened_store(app, image, writable=True, purpose="a shell in a session") as store:
        with open_session(store, kept) as opened:
            _say_interrupted(app, opened.record.doing)
            visit(app, opened, script, then, network=network, **options)


@session.command()
@click.argument("words", nargs=-1, metavar="NAME [-- COMMAND...]", type=click.UNPROCESSED)
@package_options
@network_option
@image_option
@click.pass_obj
def run(
    app: Application,
    words: tuple[str, ...],
    install: tuple[str, ...],
    remove: tuple[str, ...],
    upgrade: bool,
    network: bool,
    image: Path | None,
) -> None:
    """Change packages or run a command in a session. A package change that fails leaves it as it was before."""
    from rastos.cli.snapshot.changing import planned_change, worked
    from rastos.snapshot import Intent, open_session

    kept, command = split_command(words, None)
    intent = Intent(install, remove, upgrade, (command,) if command else (), network and bool(command))
    if not intent:
        raise click.UsageError("Nothing to do: name packages with --install or --remove, or a command after --.")
    with opened_store(app, image, writable=True, purpose="work in a session") as store:
        source = package_source(app)
        with open_session(store, kept) as opened:
            _say_interrupted(app, opened.record.doing)
            plan = planned_change(app, opened.tree, intent, source)
            worked(app, opened, plan, intent, source, "keep")
            done = words_of_intent(opened.record.intent)
    app.out.print(f"session {kept}: {done}")


@session.command()
@click.argument("kept", metavar="NAME")
@described_options
@image_option
@json_option
@click.pass_obj
def commit(
    app: Application, kept: str, description: str, name: str, replace: bool, image: Path | None, as_json: bool
) -> None:
    """Make a session a snapshot; the session ends."""
    from rastos.snapshot import open_session

    check_names(name, replace)
    with opened_store(app, image, writable=True, purpose="commit a session") as store:
        with open_session(store, kept) as opened:
            words = description or words_of_intent(opened.record.intent)
            made = opened.commit(words, name=name, replace_base=replace)
    show_made(app, made, as_json)


@session.command()
@click.argument("kept", metavar="NAME")
@image_option
@click.pass_obj
def discard(app: Application, kept: str, image: Path | None) -> None:
    """Drop a session with all that was done in it."""
    from rastos.snapshot import discard_session

    with opened_store(app, image, writable=True, purpose="discard a session") as store:
        record = discard_session(store, kept)
    app.out.print(f"discarded session {record.name}")


def _say_interrupted(app: Application, doing: str) -> None:
    if doing:
        app.out.say(f"interrupted here: {doing}; what it had done until then is in the tree")
