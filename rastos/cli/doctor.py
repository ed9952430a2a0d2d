"""`rastos doctor`: what this machine can do, what is missing, how to get it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from pathlib import Path

    from rastos.host import Finding

MARKS = {"ok": "✓", "degraded": "–", "missing": "✗"}


@click.command()
@click.option("--all", "every", is_flag=True, help="Show what is there as well, program by program.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, every: bool, as_json: bool) -> None:
    """Say what this machine can do. Exit status 1 only where the main job can't run."""
    from rastos.host import how_to_install, survey, system_packages

    app: Application = ctx.obj
    findings = survey(app.config.cache, extra=[_kvm(app.config.cache)])
    stops = [item for item in findings if item.required and item.status == "missing"]
    if as_json:
        app.out.json({"ready": not stops, "findings": [asdict(item) for item in findings]})
        ctx.exit(1 if stops else 0)
    for group in dict.fromkeys(item.group for item in findings):
        members = [item for item in findings if item.group == group]
        shown = [item for item in members if every or group == "machine" or item.status != "ok"]
        rows = [[MARKS[item.status], item.name, item.detail, item.remedy] for item in shown]
        good = sum(item.status == "ok" for item in members)
        if len(shown) < len(members):
            rows.append(["✓", f"{good} of {len(members)} {group}", "there", ""])
        app.out.table("", ["", group, "found", "what to do"], rows)
        app.out.print()
    lacking = {item.name for item in findings if item.status != "ok"}
    programs = {row.program for row in system_packages()} & lacking
    if programs:
        app.out.print(how_to_install(programs))
    if stops:
        app.out.print(f"The main job can't run here: {', '.join(item.name for item in stops)}.")
    else:
        app.out.print("The main job can run here.")
    ctx.exit(1 if stops else 0)


def _kvm(cache: Path) -> Finding:
    """Whether KVM executes a guest; without it everything works, slower."""
    from rastos.errors import RastosError
    from rastos.host import Finding

    try:
        from rastos.installer import probe_accelerator

        found = probe_accelerator(cache)
    except (RastosError, OSError) as error:
        return Finding("KVM", "degraded", f"not probed: {error}", required=False, group="machine")
    return Finding(
        "KVM",
        "ok" if found.name == "kvm" else "degraded",
        f"{found.verdict}: {found.reason}",
        required=False,
        group="machine",
    )
