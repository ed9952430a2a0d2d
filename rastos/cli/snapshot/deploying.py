"""What boots next: deploy, roll back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, image_option, json_option, secure_boot_options, secure_boot_pair
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import DeployPlan, Store


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
        where = "in the unified kernel image" if plan.unified else where
        app.out.say(f"  initramfs {len(plan.initramfs.modules)} modules, {where}")
    app.out.say(f"  /etc      {ways[plan.etc]}{counts if plan.etc == 'merge' else ''}")
    for path in merge.conflicts:
        app.out.say(f"            conflict: /etc/{path} stays, the new one lies beside it as {path}.rastos-new")


def _kernel_option(function: Any) -> Any:
    return click.option(
        "--kernel",
        default="",
        metavar="NAME",
        help="Which of its kernels: release, package or profile (default: the one booted so far, else the newest).",
    )(function)


def _etc_option(function: Any) -> Any:
    return click.option(
        "--etc",
        type=click.Choice(["merge", "current", "old", "new"]),
        default="merge",
        show_default=True,
        help="Which /etc it gets: merged, the current one, the one last used with it, or pristine.",
    )(function)


@click.command()
@click.argument("reference", metavar="[ID]", default="latest")
@_etc_option
@_kernel_option
@click.option("--uki/--no-uki", default=None, help="From now on by unified kernel images, or no longer.")
@secure_boot_options
@image_option
@dry_run_option
@json_option
@click.pass_obj
def deploy(
    app: Application,
    reference: str,
    etc: str,
    kernel: str,
    uki: bool | None,
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a snapshot the next system to boot; the one before stays."""
    from rastos.snapshot import plan_deploy

    with opened_store(app, image, writable=not dry_run, purpose="deploy a snapshot") as store:
        plan = plan_deploy(store, store.snapshot(reference).id, etc=etc, kernel=kernel, unified=uki)
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json, secure_boot=(secure_boot_key, secure_boot_cert))


@click.command()
@click.argument("reference", metavar="[ID]", required=False)
@_etc_option
@_kernel_option
@secure_boot_options
@image_option
@dry_run_option
@json_option
@click.pass_obj
def rollback(
    app: Application,
    reference: str | None,
    etc: str,
    kernel: str,
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go back to the snapshot that booted before, or to the one named. /var, /home, /root and /srv stay."""
    from rastos.snapshot import plan_rollback

    with opened_store(app, image, writable=not dry_run, purpose="roll back") as store:
        plan = plan_rollback(store, reference, etc=etc, kernel=kernel)
        _deploying(app, store, plan, dry_run=dry_run, as_json=as_json, secure_boot=(secure_boot_key, secure_boot_cert))
