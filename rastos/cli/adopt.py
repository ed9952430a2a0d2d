"""`rastos adopt`: an Arch system on btrfs becomes the first snapshot of a store beside it, and goes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.installer import AdoptPlan


@click.command()
@click.argument("disk", required=False, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), help="A raw image of such a disk instead.")
@click.option("--undo", "undoing", is_flag=True, help="Let the old system boot again, as it was.")
@click.option(
    "--forget", "forgetting", is_flag=True, help="Drop what does not boot: the old system, or the store after --undo."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@click.pass_obj
def adopt(
    app: Application,
    disk: Path | None,
    image: Path | None,
    undoing: bool,
    forgetting: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Adopt an Arch system on btrfs (subvolumes such as @ and @home, or none) from the live medium, with a way back.

    Example: rastos adopt /dev/nvme0n1 --dry-run
    """
    from rastos.host import require_root
    from rastos.installer import adopt_disk, forget_adoption, init_package, open_foreign, plan_adopt, undo_adoption
    from rastos.package import LocalChannel, LocalRepository

    place = disk or image
    if place is None or (disk and image):
        raise click.UsageError("Name a DISK, or --image FILE.")
    if undoing and forgetting:
        raise click.UsageError("--undo and --forget are two steps: undo first, look, then forget.")
    require_root("adopt a disk")
    if undoing or forgetting:
        words = "let the old system boot again" if undoing else "drop what does not boot, for good"
        if dry_run:
            app.out.say(f"would {words}: {place}")
            return
        _confirm(app, f"{place}: {words}?", yes=yes)
        with open_foreign(place, writable=True, purpose="adopt") as foreign:
            if undoing:
                undo_adoption(foreign, app.progress)
                app.out.print(f"{place}: boots as before; what changed since is in the store, `--forget` drops it")
            else:
                app.out.print(f"{place}: dropped {', '.join(forget_adoption(foreign, app.progress))}")
        return
    with open_foreign(place, writable=False, purpose="look at it") as foreign:
        plan = plan_adopt(foreign)
    if not as_json or not dry_run:
        _show(app, plan)
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    _confirm(app, f"Adopt {place}?", yes=yes)
    repository = LocalRepository(app.config.repository)
    init_package(repository, app.config.cache)
    with open_foreign(place, writable=True, purpose="adopt") as foreign:
        plan = plan_adopt(foreign)
        made = adopt_disk(foreign, plan, [LocalChannel(repository)], cache=app.config.cache, progress=app.progress)
    if as_json:
        app.out.json(made)
    else:
        app.out.print(f"{made.disk}: deployment {made.deployment} boots next, kernel {made.kernel}")
        app.out.say("the old system is untouched and in the boot menu; `rastos adopt --undo` goes back")


def _confirm(app: Application, question: str, *, yes: bool) -> None:
    from rastos.errors import UserError

    if yes:
        return
    if not app.out.interactive:
        raise UserError("nobody is there to be asked", next_step="say it beforehand: --yes")
    click.confirm(question, abort=True, err=True)


def _show(app: Application, plan: AdoptPlan) -> None:
    rows = [["system", f"{plan.packages} packages, kernel {plan.kernel}"]]
    for item in plan.adoptions:
        name = item.subvolume or "the top level"
        becomes = {"snapshot": "snapshots/0/tree, by a copy", "": "stays where it is"}.get(
            item.becomes, f"state/{item.becomes}, by a copy"
        )
        rows.append(["", f"{name} → {becomes}"])
    rows.append(["boots by", f"systemd-boot (now: {plan.loader}), parameters: {plan.cmdline or 'none'}"])
    rows += [["fstab keeps", line] for line in plan.fstab]
    rows += [["fstab loses", line] for line in plan.gone]
    if plan.anew:
        rows.append(["first", "an adoption that was interrupted is undone"])
    for name, value in rows:
        app.out.say(f"{name:>12}  {value}")
