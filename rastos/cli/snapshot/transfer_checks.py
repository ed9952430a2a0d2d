"""Whether snapshots still are what they were, and mending them: verify, repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store, signer_of
from rastos.cli.snapshot.transfer import keyring_options, trust_of

if TYPE_CHECKING:
    from rastos.snapshot import SnapshotCheck, Store

SHOWN = 40  # damaged paths of one snapshot on a terminal; --json has all


@click.command()
@click.argument("references", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every snapshot.")
@click.option("--quick", is_flag=True, help="Read no files: only whether something wrote to the tree.")
@click.option("--record", "take", is_flag=True, help="Take the manifest to check against from now on.")
@click.option("--key", metavar="FPR", default="", help="With --record: the key to sign it with.")
@keyring_options
@image_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    references: tuple[str, ...],
    every: bool,
    quick: bool,
    take: bool,
    key: str,
    keyring: Path | None,
    unsigned: bool,
    image: Path | None,
    as_json: bool,
) -> None:
    """Check that every path of a snapshot is as its manifest says; without one, as its packages say. Status 1: it isn't.

    Examples: rastos snapshot verify 3; rastos snapshot verify --all --quick; rastos snapshot verify latest --record
    """
    from rastos.errors import IntegrityError
    from rastos.snapshot import SnapshotCheck, check_snapshot, record

    app: Application = ctx.obj
    if every and references:
        raise click.UsageError("Choose one of --all and ID.", ctx)
    trust, checks = trust_of(app, keyring, unsigned), []
    with opened_store(app, image, writable=take, purpose="verify snapshots") as store:
        numbers = [item.id for item in store.snapshots()] if every else _numbers(store, references)
        if take:
            made = [record(store, number, signer_of(app, key), app.progress) for number in numbers]
            if as_json:
                app.out.json(made)
            for item in () if as_json else made:
                signed = ", signed" if item.signed else ""
                app.out.print(f"snapshot {item.snapshot}: manifest of {item.paths} paths{signed}, {item.digest[:16]}")
            return
        for number in numbers:
            try:
                check = check_snapshot(store, number, trust, app.progress, quick=quick, cache=app.config.cache)
            except IntegrityError as error:  # of its manifest
                if len(numbers) == 1:
                    raise
                check = SnapshotCheck(number, "manifest", 0, (), "", (error.what,))
            checks.append(check)
    if as_json:
        app.out.json(checks)
    else:
        for check in checks:
            _show(app, check)
    if not all(check.sound for check in checks):
        ctx.exit(1)


def _numbers(store: Store, references: tuple[str, ...]) -> list[int]:
    return [store.snapshot(reference).id for reference in references or ("latest",)]


def _show(app: Application, check: SnapshotCheck) -> None:
    against = {
        "manifest": f"{check.paths} paths against its manifest",
        "packages": f"{check.paths} paths readable, files of packages as installed",
        "quick": "nothing wrote to it",
    }[check.basis]
    signed = f", signed by {check.signer}" if check.signer else ""
    if check.sound:
        app.out.print(f"snapshot {check.snapshot} is sound: {against}{signed}")
        return
    app.out.print(f"snapshot {check.snapshot} is damaged: {len(check.damage)} paths{signed}")
    for note in check.notes:
        app.out.print(f"  {note}")
    for item in check.damage[:SHOWN]:
        app.out.print(f"  {item.what} /{item.path}{f' ({item.detail})' if item.detail else ''}")
    if len(check.damage) > SHOWN:
        app.out.print(f"  and {len(check.damage) - SHOWN} more; --json has all")
    app.out.say(f"next: rastos snapshot repair {check.snapshot}")


@click.command()
@click.argument("reference", metavar="ID")
@click.option(
    "--from",
    "sources",
    metavar="ID|cache|FILE",
    multiple=True,
    help="Where lost files come from: a snapshot, the package cache, or a stream of this snapshot; may be repeated.",
)
@keyring_options
@image_option
@dry_run_option
@json_option
@click.pass_context
def repair(
    ctx: click.Context,
    reference: str,
    sources: tuple[str, ...],
    keyring: Path | None,
    unsigned: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Mend a damaged snapshot: what differs from its manifest comes from other snapshots, the package cache or a stream.

    Examples: rastos snapshot repair 3 --dry-run; rastos snapshot repair 3 --from 2 --from cache;
    rastos snapshot repair 3 --from three.rsnap
    """
    from rastos.snapshot import plan_repair, replace_by_stream, sources_of
    from rastos.snapshot import repair as carry_out

    app: Application = ctx.obj
    trust = trust_of(app, keyring, unsigned)
    files = [name for name in sources if name != "cache" and Path(name).is_file()]
    if files and len(sources) > 1:
        raise click.UsageError("A stream replaces the whole tree: name it alone.", ctx)
    with opened_store(app, image, writable=not dry_run, purpose="repair a snapshot") as store:
        number = store.snapshot(reference).id
        if files:
            if dry_run:
                app.out.print(f"would replace the tree of snapshot {number} by the one in {files[0]}")
                return
            with open(files[0], "rb") as stream:
                replace_by_stream(store, number, stream, trust, app.progress)
            result: dict[str, object] = {"snapshot": number, "replaced": files[0]}
            text = f"snapshot {number} has its tree from {files[0]}"
        else:
            chosen = sources_of(store, number, sources, app.config.cache)
            plan = plan_repair(store, number, chosen, trust, app.progress)
            if not as_json:
                for item in plan.mends:
                    app.out.say(f"  {item.action} /{item.path}{f' from {item.source}' if item.source else ''}")
                for path in plan.lost:
                    app.out.say(f"  /{path} is nowhere to be had")
            if not dry_run:
                carry_out(store, plan, chosen, app.progress)
            result = {"snapshot": number, "mends": plan.mends, "lost": plan.lost, "signer": plan.signer}
            done = "would mend" if dry_run else "mended"
            text = f"{done} {len(plan.mends)} paths of snapshot {number}" if plan.mends or plan.lost else ""
            text = text or f"snapshot {number} is sound: nothing to mend"
    if as_json:
        app.out.json(result)
    else:
        app.out.print(text)
