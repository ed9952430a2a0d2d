"""A shell in a private copy of a snapshot. How it ends is said, never guessed from the last command's status."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.changing_options import (
    check_names,
    described_options,
    keep_option,
    network_option,
    show_made,
)
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Session

ENDINGS = ("commit", "discard", "keep")


def then_option(function: Any) -> Any:
    """--then: how it ends."""
    return click.option(
        "--then", type=click.Choice(ENDINGS), help="How it ends; asked on a terminal where it is not given."
    )(function)


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@then_option
@network_option
@described_options
@keep_option
@image_option
@json_option
@click.pass_obj
def shell(
    app: Application,
    /,
    reference: str,
    then: str | None,
    network: bool,
    keep: str,
    image: Path | None,
    **options: Any,
) -> None:
    """Open a shell in a private copy of a snapshot; in a pipe it reads commands from standard input.

    Example: rastos snapshot shell latest --keep tuning
    """
    from rastos.snapshot import check_name, check_session_name, create_session

    check_names(options["name"], options["replace"])
    then = then or ("keep" if keep and not app.out.interactive else None)
    script = read_script()
    if script is not None and then is None:
        raise click.UsageError("Nobody can be asked here how it ends: give --then commit, discard or keep.")
    with opened_store(app, image, writable=True, purpose="a shell in a copy of a snapshot") as store:
        base = store.snapshot(reference)
        if options["name"]:
            check_name(store, options["name"])
        if keep:
            check_session_name(store, keep)
        with create_session(store, base.id, "snapshot shell", keep=keep) as session:
            visit(app, session, script, then, network=network, **options)


def visit(
    app: Application,
    session: Session,
    script: bytes | None,
    then: str | None,
    *,
    network: bool,
    description: str,
    name: str,
    replace: bool,
    as_json: bool,
) -> None:
    """The shell, and its end."""
    from rastos.snapshot import shell_in_session

    if script is None:
        app.out.say(f"a copy of snapshot {session.base}; leave it with `exit`")
    status = shell_in_session(session, script, network=network, on_line=app.out.say)
    if status != 0:
        app.out.say(f"the shell ended with status {status}")
    ending = then or _ask(app, session)
    if ending == "commit":
        words = description or _words(session)
        if not session.record.keep:
            session.keep(_free_name(session))  # should the commit fail, nobody's work is lost
        made = session.commit(words, name=name, replace_base=replace)
        show_made(app, made, as_json)
    elif ending == "keep":
        _keep(app, session)
    else:
        session.discard()
        app.out.say("discarded")


def read_script() -> bytes | None:
    """What standard input has, where nobody sits at it."""
    return None if sys.stdin.isatty() else sys.stdin.buffer.read()


def _ask(app: Application, session: Session) -> str:
    from rastos.snapshot import session_files

    if session.base is not None:
        changed = session_files(session.store.tree(session.base), session.tree, app.config.cache)
        app.out.say(f"paths changed: {len(changed)}")
    question = "commit it as a snapshot, discard it, or keep the session"
    try:
        return str(click.prompt(question, type=click.Choice(ENDINGS), default="keep", err=True))
    except click.Abort:
        return "keep"  # no answer is no reason to drop it


def _keep(app: Application, session: Session) -> None:
    if not session.record.keep:
        session.keep(_free_name(session))
    app.out.print(f"session {session.record.name}, a copy of snapshot {session.base}")
    app.out.say(f"next: rastos snapshot session enter {session.record.name}")


def _free_name(session: Session) -> str:
    from rastos.snapshot import kept_sessions

    taken = {record.name for record in kept_sessions(session.store)}
    stem = f"shell-{session.base}"
    return next(text for text in (stem, *(f"{stem}-{n}" for n in range(2, 10000))) if text not in taken)


def _words(session: Session) -> str:
    from rastos.cli.snapshot.changing_options import words_of_intent

    return words_of_intent(session.record.intent)
