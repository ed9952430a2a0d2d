"""What happened at the last boots, from the lines that each of them left in the shared state (installer/init/health.sh)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .store import Store

RECORD = "state/var/lib/rastos/boots"
Outcome = Literal["good", "failed", "unfinished", "running"]
Cause = Literal["snapshot", "state", ""]


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot: `time` is when it began (ISO 8601 UTC), `failed` the checks that failed, `counted` whether on trial.

    unfinished: it began, and nothing more was heard of it (a hang, a panic, or the power went).
    """

    boot: str
    time: str
    deployment: int
    snapshot: int
    counted: bool
    outcome: Outcome
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BootVerdict:
    """Why the machine does not run what was deployed last: the snapshot, or state that all deployments share."""

    cause: Cause
    snapshot: int
    deployment: int
    failed: tuple[str, ...]
    boots: int


def boots(store: Store) -> tuple[Boot, ...]:
    """The boots on record, oldest first; lines that are torn or foreign are passed over."""
    place = store.top / RECORD
    if not place.is_file():
        return ()
    return read_boots(place.read_text(encoding="utf-8", errors="replace").splitlines(), booted=store.booted)


def read_boots(lines: Iterable[str], *, booted: int | None = None) -> tuple[Boot, ...]:
    """Put the lines of each boot together. `booted`: the deployment that runs now, if this is its machine."""
    found: dict[str, Boot] = {}
    for line in lines:
        try:
            value = json.loads(line)
            name, event = str(value["boot"]), str(value["event"])
            failed = tuple(str(value.get("failed", "")).split())
            known = found.get(name)
            outcome: Outcome = "good" if event == "good" else "failed" if event == "failed" else "unfinished"
            if known is not None and outcome == "unfinished":
                continue
            found[name] = Boot(
                name,
                known.time if known else str(value["time"]),
                int(value["deployment"]),
                int(value["snapshot"]),
                value.get("counted") == "yes",
                outcome,
                failed,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    every = list(found.values())
    if every and booted is not None and every[-1].deployment == booted and every[-1].outcome == "unfinished":
        last = every[-1]
        every[-1] = Boot(last.boot, last.time, last.deployment, last.snapshot, last.counted, "running")
    return tuple(every)


def verdict(every: tuple[Boot, ...]) -> BootVerdict | None:
    """What the last trouble came to; None where the last deployment that was on trial is good.

    A check that fails in the deployment that was fallen back to as well is no fault of the snapshot: both use the same state.
    """
    bad = [boot for boot in every if boot.counted and boot.outcome in ("failed", "unfinished")]
    if not bad:
        return None
    number = bad[-1].deployment
    mine = [boot for boot in every if boot.deployment == number]
    if mine[-1].outcome in ("good", "running"):
        return None
    after = every[every.index(mine[-1]) + 1 :]
    failed = tuple(sorted({name for boot in mine for name in boot.failed}))
    common = {name for boot in after if boot.outcome == "failed" for name in boot.failed} & set(failed)
    cause: Cause = "state" if common else "snapshot" if any(boot.outcome == "good" for boot in after) else ""
    shown = tuple(sorted(common)) if common else failed
    return BootVerdict(cause, mine[-1].snapshot, number, shown, len(mine))
