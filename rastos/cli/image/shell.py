"""`rastos image shell`."""

from __future__ import annotations

from contextlib import ExitStack

import click

from rastos.cli.app import Application
from rastos.cli.image.arguments import reference_of
from rastos.cli.snapshot.changing_options import network_option


@click.command()
@click.argument("image", metavar="[IMAGE[:SNAPSHOT]]", required=False)
@click.option("--keep", default="", metavar="NAME", help="Keep what is done as a session of this name in the image.")
@click.option("--commit", default="", metavar="TEXT", help="Make what is done a snapshot with this description.")
@network_option
@click.pass_obj
def shell(app: Application, image: str | None, keep: str, commit: str, network: bool) -> None:
    """Open a shell in a copy of what an image boots, without booting it; in a pipe it reads commands from standard input.

    All is thrown away at the end and the image file is not written to, unless --keep or --commit says otherwise.

    Example: rastos image shell images/server.qcow2
    """
    from rastos.cli.snapshot.changing_shell import read_script, visit
    from rastos.installer import opened_snapshot, throw_away_copy
    from rastos.snapshot import check_session_name, create_session

    if keep and commit:
        raise click.UsageError("--keep and --commit exclude each other.")
    reference = reference_of(app, image)
    script = read_script()
    with ExitStack() as stack:
        if not keep and not commit:
            reference = stack.enter_context(throw_away_copy(reference, app.config.cache))
        opened = stack.enter_context(opened_snapshot(reference, writable=True, purpose="a shell in a copy"))
        if keep:
            check_session_name(opened.store, keep)
        then = "keep" if keep else "commit" if commit else "discard"
        session = stack.enter_context(create_session(opened.store, opened.snapshot.id, "image shell", keep=keep))
        visit(app, session, script, then, network=network, description=commit, name="", replace=False, as_json=False)
