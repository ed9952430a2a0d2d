"""What commands that change a copy of a snapshot have in common: options, where packages come from, what is said of a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rastos.cli.app import Application

if TYPE_CHECKING:
    from rastos.package import Plan
    from rastos.snapshot import Intent, PackageSource, Session, Snapshot

F = TypeVar("F", bound=Callable[..., Any])


def described_options(function: F) -> F:
    """-d, --name, --replace: what the new snapshot is."""
    for option in (
        click.option("--replace", is_flag=True, help="It takes the place of ID: name and tags move to it."),
        click.option("--name", default="", help="A name to call it by."),
        click.option("-d", "--description", default="", help="What the new snapshot is for."),
    ):
        function = option(function)
    return function


def package_options(function: F) -> F:
    """--install, --remove, --upgrade."""
    for option in (
        click.option("--upgrade", is_flag=True, help="Bring every package up to date."),
        click.option("--remove", multiple=True, metavar="NAME", help="A package to remove; may be repeated."),
        click.option("--install", multiple=True, metavar="NAME", help="A package to install; may be repeated."),
    ):
        function = option(function)
    return function


def drop_old_option(function: F) -> F:
    """--drop-old."""
    return click.option(
        "--drop-old", is_flag=True, help="Delete the old versions afterwards, where nothing needs them."
    )(function)


def network_option(function: F) -> F:
    """--network."""
    return click.option("--network", is_flag=True, help="Let programs in the copy use the network.")(function)


def keep_option(function: F) -> F:
    """--keep NAME."""
    return click.option(
        "--keep", default="", metavar="NAME", help="Keep the copy as a session of this name, also if we die; no commit."
    )(function)


def check_names(name: str, replace: bool) -> None:
    """A snapshot that takes another's place takes its name."""
    if name and replace:
        raise click.UsageError("With --replace the name of ID moves along; --name can't be given.")


def package_source(app: Application, *, without_kernel: bool = False) -> PackageSource:
    """The project's channels and manifest."""
    from rastos.cli.package.asking import asked
    from rastos.package import LocalRepository, load_manifest, open_channels
    from rastos.snapshot import PackageSource

    manifest = load_manifest(app.config.manifest)
    channels = open_channels(manifest, cache=app.config.cache, repository=LocalRepository(app.config.repository))
    return PackageSource(channels, app.config.cache, manifest, asked(app), without_kernel=without_kernel)


def split_command(words: tuple[str, ...], default: str | None) -> tuple[str, tuple[str, ...]]:
    """[ID] and the command: what came after -- is the command, which click has joined to the rest."""
    after: tuple[str, ...] = ()
    if "--" in sys.argv:
        after = tuple(sys.argv[sys.argv.index("--") + 1 :])
    before = words[: len(words) - len(after)] if after else words
    if len(before) > 1:
        raise click.UsageError("Write a command after --, as in: rastos snapshot run latest -- COMMAND.")
    if not before and default is None:
        raise click.UsageError("Missing argument 'NAME'.")
    return (before[0] if before else str(default)), after


def words_of_intent(intent: Intent) -> str:
    """What was asked, in a few words: +strace −vim, upgraded."""
    parts = [*(f"+{name}" for name in intent.install), *(f"−{name}" for name in intent.remove)]
    parts += ["upgraded"] if intent.upgrade else []
    parts += [" ".join(command)[:72] for command in intent.commands[:2]]
    parts += [f"and {len(intent.commands) - 2} more commands"] if len(intent.commands) > 2 else []
    parts += ["changed by hand"] if intent.files else []
    return " ".join(parts)


def show_packages(app: Application, plan: Plan, indent: str = "  ") -> None:
    """A plan as lines of talk."""
    for sign, items in (("+", plan.install), ("~", plan.upgrade), ("−", plan.remove)):
        for item in items:
            because = f"  (for {item.why[-2]})" if len(item.why) > 1 else ""
            app.out.say(f"{indent}{sign} {item.name} {item.shown_version}{because}")


def run_command(app: Application, session: Session, command: tuple[str, ...], network: bool) -> int:
    """A command in the session, its words as talk; its status."""
    from rastos.snapshot import run_in_session

    with app.progress.step(" ".join(command)[:60]) as step:
        status = run_in_session(session, command, network=network, on_line=app.out.say)
        step.outcome = f"status {status}" if status else ""
    return status


def show_made(app: Application, made: Snapshot, as_json: bool) -> None:
    """The new snapshot, and what can be done with it."""
    if as_json:
        app.out.json(made.to_json())
        return
    child = "" if made.parent is None else f", child of {made.parent}"
    app.out.print(f"snapshot {made.id}{child}: {made.description} {made.delta.words()}".rstrip())
    app.out.say(f"next: rastos snapshot deploy {made.id}")
