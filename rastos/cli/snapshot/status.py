"""What runs, what boots next, and what happened at the last boots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import image_option, json_option
from rastos.cli.snapshot.places import opened_store

if TYPE_CHECKING:
    from rastos.snapshot import Boot, BootVerdict, Deployment

SHOWN = 8
OUTCOMES = {
    "good": "came up and passed its checks",
    "failed": "failed: ",
    "unfinished": "never came up: it hung, panicked, or lost power",
    "running": "is running, not checked yet",
}


@click.command()
@click.option("--all", "every", is_flag=True, help="All boots on record, not only the last ones.")
@image_option
@json_option
@click.pass_obj
def status(app: Application, every: bool, image: Path | None, as_json: bool) -> None:
    """Say what runs, what boots next, and what happened at the last boots.

    Example: rastos snapshot status
    """
    from rastos.snapshot import boots, verdict

    with opened_store(app, image, writable=False, purpose="look at the last boots") as store:
        found = boots(store)
        deployments = store.deployments()
        current = store.current()
        states = {entry.number: (entry.state, entry.left) for entry in store.entries()}
        booted = store.booted
    judged = verdict(found)
    if as_json:
        app.out.json(
            {
                "booted": booted,
                "next": current.number if current else None,
                "deployments": [
                    {**item.to_json(), "state": states.get(item.number, ("no entry", None))[0]} for item in deployments
                ],
                "boots": list(found if every else found[-SHOWN:]),
                "verdict": judged,
            }
        )
        return
    for item in deployments:
        app.out.print(_deployment(item, states.get(item.number), booted, current.number if current else None))
    for boot in found if every else found[-SHOWN:]:
        app.out.print(_boot(boot))
    for line in _explained(judged):
        app.out.print(line)


def _deployment(
    item: Deployment, state: tuple[str, int | None] | None, booted: int | None, following: int | None
) -> str:
    name, left = state or ("no entry", None)
    words = {"good": "known good", "bad": "bad: never chosen again", "new": f"on trial, {left} tries left"}
    if item.trial:  # to boot once, and not to be judged by that
        words |= {"new": "boots once", "bad": "booted once; `rastos snapshot keep` lets it stay"}
    facts = [words.get(name, "has no boot entry")]
    facts += ["running"] if item.number == booted else []
    facts += ["boots next"] if item.number == following else []
    title = f": {item.description}" if item.description else ""
    return f"deployment {item.number}  snapshot {item.snapshot}{title}  ({', '.join(facts)})"


def _boot(boot: Boot) -> str:
    words = OUTCOMES[boot.outcome] + (", ".join(boot.failed) if boot.outcome == "failed" else "")
    trial = ", on trial" if boot.counted else ""
    return f"  {render.age(boot.time):>8}  deployment {boot.deployment} (snapshot {boot.snapshot}{trial}) {words}"


def _explained(judged: BootVerdict | None) -> list[str]:
    if judged is None:
        return []
    times = f"{judged.boots} boot{'s' if judged.boots > 1 else ''}"
    what = f"failed in {times}" + (f" ({', '.join(judged.failed)})" if judged.failed else "")
    if judged.cause == "snapshot":
        return [f"snapshot {judged.snapshot} is bad: it {what}; the deployment before it came up well"]
    if judged.cause == "state":
        return [
            f"the shared state is bad, not snapshot {judged.snapshot} alone: {', '.join(judged.failed)} fails in others too",
            "next: look at /var with `systemctl --failed` and `journalctl -b`; a rollback does not change it",
        ]
    return [f"snapshot {judged.snapshot} {what}"]
