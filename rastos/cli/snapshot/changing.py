"""Changing a private copy of a snapshot: packages or a command, kept only when complete; or a whole branch at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.changing_options import (
    check_names,
    described_options,
    keep_option,
    network_option,
    package_options,
    package_source,
    run_command,
    show_made,
    show_packages,
    split_command,
    words_of_intent,
)
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Intent, PackageSource, Session, Store

ON_FAILURE = ("discard", "keep", "commit")


@dataclass(frozen=True)
class Wanted:
    """What the options say about the outcome."""

    description: str
    name: str
    replace: bool
    keep: str = ""
    on_failure: str = "discard"
    branch: bool = False
    without_kernel: bool = False
    dry_run: bool = False
    as_json: bool = False


def _kernel_option(function: Any) -> Any:
    return click.option("--without-kernel", is_flag=True, help="Let its last kernel go.")(function)


def _tree_option(function: Any) -> Any:
    return click.option(
        "--tree", "branch", is_flag=True, help="Do it in ID and all its descendants, in order: all of them or none."
    )(function)


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", nargs=-1, metavar="[ID] [-- COMMAND...]", type=click.UNPROCESSED)
@package_options
@_kernel_option
@network_option
@described_options
@keep_option
@click.option(
    "--on-failure",
    type=click.Choice(ON_FAILURE),
    default="discard",
    show_default=True,
    help="What becomes of the copy when COMMAND ends badly.",
)
@_tree_option
@image_option
@dry_run_option
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    install: tuple[str, ...],
    remove: tuple[str, ...],
    upgrade: bool,
    network: bool,
    image: Path | None,
    **options: Any,
) -> None:
    """Change packages or run a command on a private copy; it becomes a snapshot only when complete.

    Examples: rastos snapshot run latest --install strace -d "with strace";
    rastos snapshot run 3 -- sh -c 'echo hello > /etc/motd'
    """
    from rastos.snapshot import Intent

    reference, command = split_command(words, "latest")
    intent = Intent(install, remove, upgrade, (command,) if command else (), network and bool(command))
    if not intent and not options["keep"]:
        raise click.UsageError("Nothing to do: name packages with --install or --remove, or a command after --.", ctx)
    _change(ctx.obj, image, reference, intent, Wanted(**options))


def _package_command(function: Any) -> Any:
    for option in (json_option, dry_run_option, image_option, _tree_option, described_options):
        function = option(function)
    return function


@click.command()
@click.argument("reference", metavar="ID")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@_package_command
@click.pass_obj
def install(
    app: Application, /, reference: str, packages: tuple[str, ...], image: Path | None, dry_run: bool, **options: Any
) -> None:
    """Install packages in a copy of a snapshot, which becomes its child."""
    from rastos.snapshot import Intent

    _change(app, image, reference, Intent(install=packages), Wanted(dry_run=dry_run, **options))


@click.command()
@click.argument("reference", metavar="ID")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@_kernel_option
@_package_command
@click.pass_obj
def remove(
    app: Application, /, reference: str, packages: tuple[str, ...], image: Path | None, dry_run: bool, **options: Any
) -> None:
    """Remove packages in a copy of a snapshot, which becomes its child."""
    from rastos.snapshot import Intent

    _change(app, image, reference, Intent(remove=packages), Wanted(dry_run=dry_run, **options))


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@click.argument("packages", nargs=-1, metavar="[PACKAGE...]")
@_package_command
@click.pass_obj
def upgrade(
    app: Application, /, reference: str, packages: tuple[str, ...], image: Path | None, dry_run: bool, **options: Any
) -> None:
    """Bring all packages, or those named, up to date in a copy of a snapshot, which becomes its child."""
    from rastos.snapshot import Intent

    # a package that is there is brought to the channels' version by installing it
    intent = Intent(install=packages) if packages else Intent(upgrade=True)
    _change(app, image, reference, intent, Wanted(dry_run=dry_run, **options))


def _change(app: Application, image: Path | None, reference: str, intent: Intent, wanted: Wanted) -> None:
    check_names(wanted.name, wanted.replace)
    if wanted.branch and (wanted.keep or wanted.replace or wanted.name or wanted.on_failure != "discard"):
        raise click.UsageError("With --tree names move by themselves, and it is all or none: only -d can be given.")
    with opened_store(app, image, writable=not wanted.dry_run, purpose="change a copy of a snapshot") as store:
        number = store.snapshot(reference).id
        source = package_source(app, without_kernel=wanted.without_kernel)
        if wanted.branch:
            from rastos.cli.snapshot.changing_trees import carry_out
            from rastos.snapshot import plan_recursive

            words = wanted.description or words_of_intent(intent)
            change = plan_recursive(store, number, intent, source, app.progress, description=words)
            carry_out(app, store, change, source, dry_run=wanted.dry_run, as_json=wanted.as_json)
        else:
            _change_one(app, store, number, intent, source, wanted)


def _change_one(
    app: Application, store: Store, number: int, intent: Intent, source: PackageSource, wanted: Wanted
) -> None:
    from rastos.errors import UserError
    from rastos.snapshot import check_name, create_session

    if wanted.name:
        check_name(store, wanted.name)
    plan = planned_change(app, store.tree(number), intent, source)
    if wanted.dry_run:
        if wanted.as_json:
            app.out.json({"base": number, "packages": plan and plan.to_json(), "commands": intent.commands})
        for command in intent.commands:
            app.out.say(f"would run in a copy of snapshot {number}: {' '.join(command)}")
        return
    if plan is not None and plan.nothing and not intent.commands:
        raise UserError(
            f"nothing to do: snapshot {number} has all of that already", next_step="look with `rastos snapshot show ID`"
        )
    with create_session(store, number, "snapshot run", keep=wanted.keep) as session:
        done = worked(app, session, plan, intent, source, wanted.on_failure)
        if wanted.keep:
            app.out.print(f"session {wanted.keep}, a copy of snapshot {number}")
            app.out.say(f"next: rastos snapshot session enter {wanted.keep}, or session commit {wanted.keep}")
            return
        if not done:
            return
        description = wanted.description or words_of_intent(intent)
        made = session.commit(description, name=wanted.name, replace_base=wanted.replace)
    show_made(app, made, wanted.as_json)


def planned_change(app: Application, tree: Path, intent: Intent, source: PackageSource) -> Any:
    """The plan of the packages asked for, shown; None where none are."""
    if not (intent.install or intent.remove or intent.upgrade):
        return None
    from rastos.package import Change
    from rastos.snapshot import plan_packages

    plan = plan_packages(tree, source, Change(intent.install, intent.remove, intent.upgrade), app.progress)
    show_packages(app, plan)
    return plan


def worked(
    app: Application, session: Session, plan: Any, intent: Intent, source: PackageSource, on_failure: str
) -> bool:
    """Do it in the session; whether it may be committed. ExternalError: a command failed, and the copy is discarded or kept."""
    from dataclasses import replace

    from rastos.errors import ExternalError
    from rastos.snapshot import change_packages

    if plan is not None and not plan.nothing:
        change_packages(session, source, plan, app.progress, intent=replace(intent, commands=(), network=False))
    for command in intent.commands:
        status = run_command(app, session, command, intent.network)
        if status == 0 or on_failure == "commit":
            continue
        what, step = "its changes were discarded", "correct the command, or keep what it did: --on-failure keep|commit"
        if on_failure == "keep" or session.record.keep:
            if not session.record.keep:
                session.keep(_free_name(session))
            what = f"the copy is kept as session {session.record.name}"
            step = f"look into it: rastos snapshot session enter {session.record.name}; or discard it"
        raise ExternalError(
            f"the command ended with status {status}; {what}", next_step=step, argv=command, status=status
        )
    return True


def _free_name(session: Session) -> str:
    from rastos.snapshot import kept_sessions

    taken = {record.name for record in kept_sessions(session.store)}
    stem = f"failed-{session.base}"
    return next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 10000))) if name not in taken)
