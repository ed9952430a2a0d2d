"""Snapshots to and from other machines: send, receive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store, signer_of

if TYPE_CHECKING:
    from rastos.snapshot import Have, Received, SendPlan, Signer, Store, Trust

SSH = "ssh://"
SSH_VARIABLES = ("SSH_AUTH_SOCK", "SSH_AGENT_PID")


def trust_of(app: Application, keyring: Path | None, unsigned: bool) -> Trust:
    """Whose signatures count."""
    from rastos.snapshot import Trust

    return Trust(keyring or app.config.snapshot_keyring, unsigned)


def keyring_options(function: Any) -> Any:
    """--keyring, --unsigned."""
    function = click.option("--unsigned", is_flag=True, help="Take what nobody signed.")(function)
    return click.option(
        "--keyring",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="The public keys that count (default: the setting trusted_keys).",
    )(function)


@click.command()
@click.argument("references", metavar="ID...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", default="", help="Write to a file; - is standard output.")
@click.option("--to", "target", metavar="IMAGE|URL", default="", help="Another image, or ssh://HOST[/PATH/TO/IMAGE].")
@click.option("--parent", metavar="ID", default=None, help="Send the difference to this one, which the receiver has.")
@click.option(
    "--have",
    "have_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What the receiver has (`rastos snapshot receive --have` there): the base is chosen by it.",
)
@click.option("--key", metavar="FPR", default="", help="The key to sign with (default: the setting signing_key).")
@click.option("--unsigned", is_flag=True, help="With ssh://: let the receiver take it without a signature.")
@image_option
@dry_run_option
@json_option
@click.pass_context
def send(
    ctx: click.Context,
    references: tuple[str, ...],
    output: str,
    target: str,
    parent: str | None,
    have_file: Path | None,
    key: str,
    unsigned: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send snapshots to a file, a pipe, another image or another machine, as differences where the receiver has a base.

    Examples: rastos snapshot send 3 -o three.rsnap; rastos snapshot send latest --to ssh://host;
    rastos snapshot send 3 | ssh host rastos snapshot receive -
    """
    app: Application = ctx.obj
    if output and target:
        raise click.UsageError("Choose one of -o and --to.", ctx)
    if not output and not target:
        if sys.stdout.isatty() and not dry_run:
            raise click.UsageError("A stream is nothing for a terminal: write it to a file (-o FILE) or a pipe.", ctx)
        output = "-"
    if as_json and output == "-" and not dry_run:
        raise click.UsageError("The stream goes to standard output, so JSON can't.", ctx)
    with _opened_target(app, target) as there, opened_store(app, image, writable=False, purpose="send") as store:
        plan = _planned(app, store, references, parent, have_file, there)
        if dry_run:
            _show_plan(app, plan, as_json)
            return
        results = _carried_out(app, store, plan, there, output, signer_of(app, key), unsigned)
    if as_json:
        app.out.json({"sent": [item.snapshot for item in plan.items], "there": plan.there, "received": results})
    elif output != "-":
        _show_sent(app, plan, output or target)


@contextmanager
def _opened_target(app: Application, target: str) -> Iterator[Any]:
    """The store of --to, or the machine it names; None without."""
    if not target:
        yield None
    elif target.startswith(SSH):
        from rastos.snapshot import parse_remote

        yield parse_remote(target)
    else:
        with opened_store(app, Path(target), writable=True, purpose="receive") as store:
            yield store


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in SSH_VARIABLES if name in os.environ}


def _planned(
    app: Application, store: Store, references: tuple[str, ...], parent: str | None, have_file: Path | None, there: Any
) -> SendPlan:
    from rastos.snapshot import Remote, Store, ask, plan_send, read_have, what_is_there

    have: Have | None = None
    if have_file is not None:
        have = read_have(have_file.read_text(encoding="utf-8"), have_file)
    elif isinstance(there, Remote):
        have = ask(there, _environment())
    elif isinstance(there, Store):
        have = what_is_there(there)
    return plan_send(store, references, base=parent, have=have)


def _carried_out(
    app: Application, store: Store, plan: SendPlan, there: Any, output: str, signer: Signer, unsigned: bool
) -> list[Any]:
    from rastos.snapshot import Remote, receive_directly, send_to, send_to_file, stream_header, stream_of
    from rastos.snapshot import send as send_stream

    if not plan.items:
        return []
    if isinstance(there, Remote):
        return send_to(store, plan, there, signer, app.progress, _environment(), unsigned=unsigned)
    if there is not None:
        return [
            _received_json(receive_directly(there, stream_header(store, item), stream_of(store, item), app.progress))
            for item in plan.items
        ]
    if output == "-":
        send_stream(store, plan, sys.stdout.buffer, signer, app.progress)
    else:
        send_to_file(store, plan, Path(output), signer, app.progress)
    return []


def _show_plan(app: Application, plan: SendPlan, as_json: bool) -> None:
    if as_json:
        app.out.json(plan)
        return
    for number in plan.there:
        app.out.print(f"snapshot {number} is there already")
    for item in plan.items:
        how = f"as its difference to {item.base}" if item.base is not None else "whole"
        kept = f", from chunk {len(item.kept)} on" if item.kept else ""
        app.out.print(f"would send snapshot {item.snapshot} {how}{kept}: {item.description}")


def _show_sent(app: Application, plan: SendPlan, where: str) -> None:
    for number in plan.there:
        app.out.print(f"snapshot {number} is there already")
    for item in plan.items:
        how = f"the difference to {item.base}" if item.base is not None else "whole"
        app.out.print(f"sent snapshot {item.snapshot} ({how}) to {where}")


@click.command()
@click.argument("source", metavar="[FILE]", default="-")
@click.option("--have", "only_have", is_flag=True, help="Print what is here, for a sender, and receive nothing.")
@click.option("--forget", is_flag=True, help="Forget what is kept of streams that were cut off.")
@keyring_options
@image_option
@json_option
@click.pass_context
def receive(
    ctx: click.Context,
    source: str,
    only_have: bool,
    forget: bool,
    keyring: Path | None,
    unsigned: bool,
    image: Path | None,
    as_json: bool,
) -> None:
    """Receive snapshots from a file, or from standard input (-). Nothing of them is seen before they are complete.

    Examples: rastos snapshot receive three.rsnap; rastos snapshot receive - --unsigned < three.rsnap
    """
    from rastos.snapshot import forget_unfinished, what_is_there
    from rastos.snapshot import receive as take

    app: Application = ctx.obj
    if only_have:
        with opened_store(app, image, writable=False, purpose="say what is there") as store:
            app.out.json(what_is_there(store).to_json())
        return
    if forget:
        with opened_store(app, image, writable=True, purpose="forget unfinished streams") as store:
            count, freed = forget_unfinished(store)
        if as_json:
            app.out.json({"forgotten": count, "freed": freed})
        else:
            app.out.print(f"forgot {count} unfinished streams, {freed} bytes")
        return
    if source == "-" and sys.stdin.isatty():
        raise click.UsageError("There is no stream on a terminal: name a file, or pipe one in.", ctx)
    trust = trust_of(app, keyring, unsigned)
    with (
        click.open_file(source, "rb") as stream,
        opened_store(app, image, writable=True, purpose="receive a snapshot") as store,
    ):
        found = take(store, stream, trust, app.progress)
    if as_json:
        app.out.json([_received_json(item) for item in found])
        return
    for item in found:
        if not item.new:
            app.out.print(f"snapshot {item.snapshot.id} was here already: {item.snapshot.description}")
            continue
        child = f", child of {item.snapshot.parent}" if item.snapshot.parent is not None else ""
        signed = f"signed by {item.signer}" if item.signer else "not signed"
        app.out.print(f"received snapshot {item.snapshot.id}{child}: {item.snapshot.description} ({signed})")
        for note in item.notes:
            app.out.say(f"  {note}")


def _received_json(item: Received) -> dict[str, Any]:
    return {"snapshot": item.snapshot.to_json(), "new": item.new, "signer": item.signer, "notes": item.notes}
