"""`rastos snapshot`: the tree of snapshots of an image, and what boots next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import chosen_image, dry_run_option, image_option, json_option

if TYPE_CHECKING:
    from rastos.snapshot import DeployPlan, Store

REFERENCE = "ID is a number, a name, a tag, or 'latest'."


@click.group()
def snapshot() -> None:
    """The tree of snapshots: create, run, deploy, roll back."""


@contextmanager
def _store(app: Application, image: Path | None, *, writable: bool, purpose: str) -> Iterator[Store]:
    from rastos.installer import open_image
    from rastos.snapshot import Store

    with open_image(chosen_image(image, app.config.output), writable=writable, purpose=purpose) as opened:
        yield Store.open(opened.top, opened.esp, writable=writable)


@snapshot.command("list")
@image_option
@json_option
@click.pass_obj
def list_(app: Application, image: Path | None, as_json: bool) -> None:
    """List the snapshots."""
    with _store(app, image, writable=False, purpose="list snapshots") as store:
        found = store.snapshots()
        current = store.current()
        deployed = {item.snapshot: item.number for item in store.deployments()}
    if as_json:
        app.out.json([item.to_json() for item in found])
        return
    rows = []
    for item in found:
        boots = (
            "next"
            if current and current.snapshot == item.id
            else f"({deployed[item.id]})"
            if item.id in deployed
            else ""
        )
        parent = "" if item.parent is None else item.parent
        rows.append(
            [
                item.id,
                parent,
                render.age(item.created),
                boots,
                item.kernel,
                item.delta.words(),
                item.name,
                item.description,
            ]
        )
    app.out.table("Snapshots", ["id", "parent", "age", "boots", "kernel", "packages", "name", "description"], rows)


@snapshot.command()
@image_option
@json_option
@click.pass_obj
def tree(app: Application, image: Path | None, as_json: bool) -> None:
    """Draw the snapshots as a tree: what boots next, what changed, how old."""
    from rastos.cli.drawing import draw_tree
    from rastos.snapshot import grow

    with _store(app, image, writable=False, purpose="draw the tree") as store:
        nodes = grow(store.snapshots(), store.deployments(), store.current())
    if as_json:
        app.out.json(list(nodes))
    else:
        for line in draw_tree(nodes):
            app.out.print(line)


@snapshot.command()
@click.argument("reference", metavar="ID")
@image_option
@json_option
@click.pass_obj
def show(app: Application, reference: str, image: Path | None, as_json: bool) -> None:
    """Show one snapshot in detail. ID is a number, a name, a tag, or 'latest'."""
    with _store(app, image, writable=False, purpose="show a snapshot") as store:
        item = store.snapshot(reference)
        deployments = [found.number for found in store.deployments() if found.snapshot == item.id]
    if as_json:
        app.out.json({**item.to_json(), "deployments": deployments})
        return
    rows: list[tuple[str, object]] = [
        ("snapshot", item.id),
        ("name", item.name),
        ("description", item.description),
        ("uuid", item.uuid),
        ("parent", "none" if item.parent is None else item.parent),
        ("created", f"{item.created} ({render.age(item.created)})"),
        ("kernel", item.kernel),
        ("packages", f"{item.packages} (digest {item.package_digest[:16]})"),
        ("added", ", ".join(item.delta.added)),
        ("removed", ", ".join(item.delta.removed)),
        ("changed", ", ".join(item.delta.changed)),
        ("deployments", ", ".join(map(str, deployments)) or "none"),
    ]
    for name, value in rows:
        if value != "":
            app.out.print(f"{name:>12}  {value}")


@snapshot.command()
@click.argument("reference", metavar="[ID]", default="latest")
@click.option("-d", "--description", default="", help="What it is for.")
@click.option("--name", default="", help="A name to call it by.")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def create(
    app: Application, reference: str, description: str, name: str, image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Create a child of a snapshot with the same content."""
    from rastos.snapshot import create_snapshot

    with _store(app, image, writable=not dry_run, purpose="create a snapshot") as store:
        base = store.snapshot(reference)
        if dry_run:
            app.out.print(f"would create a snapshot from {base.id}")
            return
        made = create_snapshot(store, base.id, description or f"copy of {base.id}", name=name)
    app.out.json(made.to_json()) if as_json else app.out.print(f"snapshot {made.id}, child of {base.id}")


@snapshot.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", nargs=-1, metavar="[ID] [-- COMMAND...]", type=click.UNPROCESSED)
@click.option("--install", "install", multiple=True, metavar="NAME", help="A package to install; may be repeated.")
@click.option("--remove", "remove", multiple=True, metavar="NAME", help="A package to remove; may be repeated.")
@click.option("--upgrade", is_flag=True, help="Bring every package up to date.")
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
    from rastos.snapshot import change_packages, create_session, plan_packages

    app: Application = ctx.obj
    reference, command = _split(words)
    change = Change(install, remove, upgrade)
    packages = bool(install or remove or upgrade)
    if not command and not packages:
        raise click.UsageError("Nothing to do: name packages with --install or --remove, or a command after --.", ctx)
    with _store(app, image, writable=True, purpose="change a copy of a snapshot") as store:
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
                change_packages(session, channels, plan, app.config.cache, app.progress, manifest=manifest)
            if dry_run:
                app.out.say(f"would run in a copy of snapshot {base.id}: {' '.join(command)}")
                return
            if command:
                _run_inside(app, session.tree, command, network)
            made = session.commit(description or _describe(install, remove, upgrade, command), name=name)
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


@snapshot.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="latest")
@click.option("--packages-only", is_flag=True, help="Leave files out.")
@image_option
@json_option
@click.pass_obj
def diff(app: Application, before: str, after: str, packages_only: bool, image: Path | None, as_json: bool) -> None:
    """Show what differs between two snapshots: packages, /etc, files, kernel."""
    from rastos.snapshot import difference

    with _store(app, image, writable=False, purpose="compare snapshots") as store:
        found = difference(store, store.snapshot(before).id, store.snapshot(after).id, files=not packages_only)
    if as_json:
        app.out.json(found)
        return
    app.out.print(f"snapshot {found.before} → {found.after}")
    if found.kernel[0] != found.kernel[1]:
        app.out.print(f"kernel {found.kernel[0]} → {found.kernel[1]}")
    from rastos.cli.drawing import shown_version

    for item in found.packages:
        sign = "+" if not item.before else "−" if not item.after else "~"
        versions = " → ".join(shown_version(text) for text in (item.before, item.after) if text)
        app.out.print(f"{sign} {item.name} {versions}")
    signs = {"added": "+", "removed": "−", "changed": "~"}
    for what, path in (*found.etc, *found.files):
        app.out.print(f"{signs[what]} /{path}")
    if not (found.packages or found.etc or found.files):
        app.out.print("no difference")


def _deploying(app: Application, store: Store, plan: DeployPlan, *, dry_run: bool, as_json: bool) -> None:
    from rastos.snapshot import deploy

    if not as_json or not dry_run:
        _show_deploy(app, plan)
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    made = deploy(store, plan, app.progress)
    if as_json:
        app.out.json(made.to_json())
    else:
        text = f"deployment {made.number} boots next: snapshot {made.snapshot}"
        app.out.print(f"{text}: {made.description}" if made.description else text)


def _show_deploy(app: Application, plan: DeployPlan) -> None:
    kernel = "already on the ESP" if plan.kernel_present else f"{render.size(plan.kernel_size)} to the ESP"
    ways = {
        "merge": "merged",
        "current": "the current one",
        "old": "the one last used with it",
        "new": "as its packages bring it",
    }
    merge = plan.merge
    counts = (
        f": {len(merge.take) + len(merge.entries)} taken, {len(merge.remove)} removed, {len(merge.conflicts)} conflicts"
    )
    app.out.say(f"  snapshot  {plan.snapshot}: {plan.description}")
    app.out.say(f"  kernel    {plan.kernel}, {kernel}")
    if plan.initramfs is not None:
        where = (
            "already on the ESP" if plan.initramfs_present else f"at most {render.size(plan.initramfs.size)} to the ESP"
        )
        app.out.say(f"  initramfs {len(plan.initramfs.modules)} modules, {where}")
    app.out.say(f"  /etc      {ways[plan.etc]}{counts if plan.etc == 'merge' else ''}")
    for path in merge.conflicts:
        app.out.say(f"            conflict: /etc/{path} stays, the new one lies beside it as {path}.rastos-new")


def _etc_option(function: Any) -> Any:
    return click.option(
        "--etc",
        type=click.Choice(["merge", "current", "old", "new"]),
        default="merge",
        show_default=True,
        help="Which /etc it gets: merged, the current one, the one last used with it, or pristine.",
    )(function)


@snapshot.command()
@click.argument("reference", metavar="[ID]", default="latest")
@_etc_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def deploy(app: Application, reference: str, etc: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Make a snapshot the next system to boot; the one before stays."""
    from rastos.snapshot import plan_deploy

    with _store(app, image, writable=not dry_run, purpose="deploy a snapshot") as store:
        plan = plan_deploy(store, store.snapshot(reference).id, etc=etc)
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json)


@snapshot.command()
@click.argument("reference", metavar="[ID]", required=False)
@_etc_option
@image_option
@dry_run_option
@json_option
@click.pass_obj
def rollback(
    app: Application, reference: str | None, etc: str, image: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Go back to the snapshot that booted before, or to the one named. /var, /home, /root and /srv stay."""
    from rastos.snapshot import plan_rollback

    with _store(app, image, writable=not dry_run, purpose="roll back") as store:
        plan = plan_rollback(store, reference, etc=etc)
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json)


@snapshot.command()
@click.argument("reference", metavar="ID")
@image_option
@dry_run_option
@json_option
@click.pass_obj
def delete(app: Application, reference: str, image: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete a snapshot and the deployments that start it; its children get its parent."""
    from rastos.snapshot import delete as carry_out
    from rastos.snapshot import plan_delete

    with _store(app, image, writable=not dry_run, purpose="delete a snapshot") as store:
        plan = plan_delete(store, store.snapshot(reference).id)
        if not dry_run:
            carry_out(store, plan)
    if as_json:
        app.out.json(plan)
        return
    also = f" with deployments {', '.join(map(str, plan.deployments))}" if plan.deployments else ""
    app.out.print(f"{'would delete' if dry_run else 'deleted'} snapshot {plan.snapshot}: {plan.description}{also}")
