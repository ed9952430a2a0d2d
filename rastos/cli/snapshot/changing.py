"""Changing a private copy of a snapshot: packages or a command, kept only when complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option
from rastos.cli.snapshot.places import opened_store


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", nargs=-1, metavar="[ID] [-- COMMAND...]", type=click.UNPROCESSED)
@click.option("--install", "install", multiple=True, metavar="NAME", help="A package to install; may be repeated.")
@click.option("--remove", "remove", multiple=True, metavar="NAME", help="A package to remove; may be repeated.")
@click.option("--upgrade", is_flag=True, help="Bring every package up to date.")
@click.option("--without-kernel", is_flag=True, help="Let its last kernel go.")
@click.option("-d", "--description", default="", help="What the new snapshot is for.")
@click.option("--name", default="", help="A name to call it by.")
@click.option("--network", is_flag=True, help="Let the command use the network.")
@image_option
@dry_run_option
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    words: tuple[str, ...],
    install: tuple[str, ...],
    remove: tuple[str, ...],
    upgrade: bool,
    without_kernel: bool,
    description: str,
    name: str,
    network: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Change packages or run a command on a private copy; it becomes a snapshot only when complete.

    Examples: rastos snapshot run latest --install strace -d "with strace";
    rastos snapshot run 3 -- sh -c 'echo hello > /etc/motd'
    """
    from rastos.errors import UserError
    from rastos.package import Change, LocalRepository, load_manifest, open_channels
    from rastos.snapshot import Intent, change_packages, create_session, plan_packages

    app: Application = ctx.obj
    reference, command = _split(words)
    change = Change(install, remove, upgrade)
    packages = bool(install or remove or upgrade)
    if not command and not packages:
        raise click.UsageError("Nothing to do: name packages with --install or --remove, or a command after --.", ctx)
    with opened_store(app, image, writable=True, purpose="change a copy of a snapshot") as store:
        base = store.snapshot(reference)
        with create_session(store, base.id, "snapshot run") as session:
            if packages:
                manifest = load_manifest(app.config.manifest)
                channels = open_channels(
                    manifest, cache=app.config.cache, repository=LocalRepository(app.config.repository)
                )
                plan = plan_packages(session, channels, change, app.config.cache, app.progress, manifest=manifest)
                _show_packages(app, plan)
                if dry_run:
                    return
                if plan.empty and not command:
                    raise UserError(
                        f"nothing to do: snapshot {base.id} has all of that already",
                        next_step="look with `rastos snapshot show ID`",
                    )
                change_packages(
                    *(session, channels, plan, app.config.cache, app.progress),
                    manifest=manifest,
                    without_kernel=without_kernel,
                )
            if dry_run:
                app.out.say(f"would run in a copy of snapshot {base.id}: {' '.join(command)}")
                return
            if command:
                _run_inside(app, session.tree, command, network)
            intent = Intent(install, remove, upgrade, (command,) if command else ())
            made = session.commit(description or _describe(install, remove, upgrade, command), name=name, intent=intent)
    if as_json:
        app.out.json(made.to_json())
    else:
        app.out.print(f"snapshot {made.id}, child of {base.id}: {made.description} {made.delta.words()}".rstrip())
        app.out.say(f"next: rastos snapshot deploy {made.id}")


def _split(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """[ID] and the command: what came after -- is the command, which click has joined to the rest."""
    import sys

    if "--" in sys.argv:
        after = tuple(sys.argv[sys.argv.index("--") + 1 :])
        before = words[: len(words) - len(after)] if after else words
        return (before[0] if before else "latest"), after
    if len(words) > 1:
        raise click.UsageError("Write a command after --, as in: rastos snapshot run latest -- COMMAND.")
    return (words[0] if words else "latest"), ()


def _describe(install: tuple[str, ...], remove: tuple[str, ...], upgrade: bool, command: tuple[str, ...]) -> str:
    parts = [*(f"+{name}" for name in install), *(f"−{name}" for name in remove)]
    if upgrade:
        parts.append("upgraded")
    return " ".join(parts) or " ".join(command)[:72]


def _run_inside(app: Application, tree: Path, command: tuple[str, ...], network: bool) -> None:
    from rastos.errors import ExternalError
    from rastos.host import run_in_root, system_mounts

    with system_mounts(tree), app.progress.step(" ".join(command)[:60]):
        done = run_in_root(tree, command, check=False, network=network, on_line=app.out.say)
    if done.status != 0:
        raise ExternalError(
            f"the command ended with status {done.status}; its changes were discarded",
            next_step="correct the command; no snapshot was made",
            argv=command,
            status=done.status,
        )


def _show_packages(app: Application, plan: Any) -> None:
    for sign, items in (("+", plan.install), ("~", plan.upgrade), ("−", plan.remove)):
        for item in items:
            because = f"  (for {item.why[-2]})" if len(item.why) > 1 else ""
            app.out.say(f"  {sign} {item.name} {item.shown_version}{because}")
