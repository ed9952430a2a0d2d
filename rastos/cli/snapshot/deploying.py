"""What boots next: deploy, roll back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option, secure_boot_options, secure_boot_pair
from rastos.cli.snapshot.places import opened_store, proven

if TYPE_CHECKING:
    from rastos.snapshot import DeployPlan, EtcMerge, Store

Command = Callable[..., Any]


def _deploying(
    app: Application,
    store: Store,
    plan: DeployPlan,
    *,
    dry_run: bool,
    as_json: bool,
    secure_boot: tuple[Path | None, Path | None],
) -> None:
    from rastos.snapshot import deploy

    if not as_json or not dry_run:
        _show_deploy(app, plan)
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    made = deploy(store, plan, app.progress, secure_boot=secure_boot_pair(*secure_boot))
    if as_json:
        app.out.json(made.to_json())
    else:
        text = f"deployment {made.number} boots next: snapshot {made.snapshot}"
        app.out.print(f"{text}: {made.description}" if made.description else text)


def _show_deploy(app: Application, plan: DeployPlan) -> None:
    kernel = "already on the ESP" if plan.kernel_present else f"{render.size(plan.kernel_size)} to the ESP"
    app.out.say(f"  snapshot  {plan.snapshot}: {plan.description}")
    if plan.bad:
        app.out.say(f"            it was found bad: {plan.bad}", style="yellow")
    app.out.say(f"  kernel    {plan.kernel}, {kernel}")
    if plan.initramfs is not None:
        where = (
            "already on the ESP" if plan.initramfs_present else f"at most {render.size(plan.initramfs.size)} to the ESP"
        )
        where = "in the unified kernel image" if plan.unified else where
        app.out.say(f"  initramfs {len(plan.initramfs.modules)} modules, {where}")
    _show_etc(app, plan)
    for place in plan.state:
        filled = f", filled from {place.source}" if place.source else ""
        app.out.say(f"  state     /{place.path} {place.way}{filled}")
    for item in plan.newer:
        app.out.say(f"            {item.words()}", style="yellow")
    for gone in plan.prune:
        back = f", {render.size(gone.esp)} of the ESP" if gone.esp else ""
        app.out.say(f"  prune     deployment {gone.deployment} (snapshot {gone.snapshot}){back}")
    if plan.trial:
        app.out.say("  boots     once; `rastos snapshot keep` lets it stay")


def _show_etc(app: Application, plan: DeployPlan) -> None:
    ways = {
        "merge": "merged",
        "current": "the current one",
        "old": "the one last used with it",
        "new": "as its packages bring it",
    }
    app.out.say(f"  /etc      {ways[plan.etc]}{_counts(plan.merge) if plan.etc == 'merge' else ''}")
    for item in plan.merge.details:
        beside = f"; the new one lies beside it as {item.beside}" if item.beside else ""
        app.out.say(f"            conflict: /etc/{item.path} stays ({item.why}){beside}", style="yellow")
    for note in plan.merge.notes:
        app.out.say(f"            {note}")


def _counts(merge: EtcMerge) -> str:
    changed = len(merge.take) + len(merge.entries) + len(merge.mixed)
    return f": {changed} taken, {len(merge.remove)} removed, {len(merge.conflicts)} conflicts"


def _options(function: Command) -> Command:
    """What deploy and rollback have in common."""
    for option in reversed(
        (
            click.option(
                "--etc",
                type=click.Choice(["merge", "current", "old", "new"]),
                default="merge",
                show_default=True,
                help="Which /etc it gets: merged, the current one, the one last used with it, or pristine.",
            ),
            click.option(
                "--decide",
                "decided",
                multiple=True,
                metavar="PATH=SIDE",
                help="A path of /etc follows this side: ours or theirs. May be given several times.",
            ),
            click.option(
                "--kernel",
                default="",
                metavar="NAME",
                help="Which of its kernels: release, package or profile (default: the one booted so far, else the newest).",
            ),
            click.option("--try", "trial", is_flag=True, help="Boot it once; then the one before, unless it is kept."),
            click.option(
                "--tries",
                type=click.IntRange(1, 99),
                default=3,
                show_default=True,
                help="Boots it gets to be found good, before the loader falls back.",
            ),
            click.option("--prune", is_flag=True, help="Drop old deployments where room is short."),
            click.option(
                "--accept-newer-state",
                is_flag=True,
                help="Go on where newer programs have written state that this snapshot refuses.",
            ),
        )
    ):
        function = option(function)
    return function


def _planned(decided: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Options as the plan wants them."""
    from rastos.snapshot import etc_path

    sides = {}
    for text in decided:
        path, equals, side = text.rpartition("=")
        if not equals or side not in ("ours", "theirs"):
            raise click.UsageError(f"--decide {text}: write it as PATH=ours or PATH=theirs.")
        sides[etc_path(path)] = side
    return {**options, "decided": sides}


@click.command()
@click.argument("reference", metavar="[ID]", required=False)
@_options
@click.option("--uki/--no-uki", "unified", default=None, help="From now on by unified kernel images, or no longer.")
@click.option(
    "--prove", is_flag=True, help="Boot it in QEMU first, on a throw-away overlay; deploy only what comes up."
)
@click.option(
    "--timeout", default=240.0, show_default=True, metavar="SECONDS", help="How long the boot of --prove may take."
)
@secure_boot_options
@image_option
@dry_run_option
@json_option
@click.pass_obj
def deploy(
    app: Application,
    /,
    reference: str | None,
    decided: tuple[str, ...],
    prove: bool,
    timeout: float,
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a snapshot the next system to boot; the one before stays. Without ID: the newest that was not found bad."""
    from rastos.snapshot import newest_usable, plan_deploy

    if prove and not dry_run:
        proven(app, image, reference, _planned(decided, options), timeout=timeout)
    with opened_store(app, image, writable=not dry_run, purpose="deploy a snapshot") as store:
        chosen = newest_usable(store) if reference is None else store.snapshot(reference)
        plan = plan_deploy(store, chosen.id, **_planned(decided, options))
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json, secure_boot=(secure_boot_key, secure_boot_cert))


@click.command()
@click.argument("reference", metavar="[ID]", required=False)
@_options
@secure_boot_options
@image_option
@dry_run_option
@json_option
@click.pass_obj
def rollback(
    app: Application,
    /,
    reference: str | None,
    decided: tuple[str, ...],
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Go back to the snapshot that booted before, or to the one named. /var, /home, /root and /srv stay."""
    from rastos.snapshot import plan_rollback

    with opened_store(app, image, writable=not dry_run, purpose="roll back") as store:
        plan = plan_rollback(store, reference, **_planned(decided, options))
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json, secure_boot=(secure_boot_key, secure_boot_cert))
