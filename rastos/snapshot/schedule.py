"""The grammar of retention: which snapshots a schedule keeps, written as "last=5 daily=7 weekly=4 good=2 free=10%".

    schedule = part { ";" part }        the first part without a name is for all that no other part is for
    part     = [ NAME ":" ] term { term }
    term     = last=N | hourly=N | daily=N | weekly=N | monthly=N | yearly=N | good=N | within=DURATION | free=SPACE
    DURATION = number with h, d, w, m or y        SPACE = number with % or K, M, G, T (bytes, binary)

`daily=7`: the newest snapshot of each of the last seven days that have one (borg-prune(1) counts so too): a clock that is
wrong today deletes nothing. NAME is a snapshot (id, name or tag); its part is for it and all below it, up to the next one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rastos.errors import UserError

from .metadata import Snapshot

PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
COUNTS = ("last", *PERIODS, "good")
TERMS = (*COUNTS, "within", "free")
EXAMPLE = 'for example "last=5 daily=7 weekly=4 monthly=12 good=2"'
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class Rules:
    """How many are kept by each rule; `within` in hours before the newest snapshot."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    good: int = 0
    within: int = 0

    def __bool__(self) -> bool:
        return self != Rules()


@dataclass(frozen=True, slots=True)
class Floor:
    """Space that should be free: bytes, or a part of the file system."""

    size: int = 0
    percent: float = 0.0

    def bytes(self, whole: int) -> int:
        """In bytes, for a file system of `whole` bytes."""
        return max(self.size, int(whole * self.percent / 100))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rules for all snapshots, for the part of the tree below some (reference, rules), and the space to keep free."""

    rules: Rules
    branches: tuple[tuple[str, Rules], ...] = ()
    floor: Floor = Floor()


def parse_schedule(text: str, *, floor: str = "") -> Schedule:
    """Read a schedule; `floor` as in free=. Raises UserError naming the term that is wrong."""
    rules = Rules()
    branches: list[tuple[str, Rules]] = []
    space = Floor()
    for part in filter(None, map(str.strip, text.split(";"))):
        name, colon, rest = part.rpartition(":")
        found = Rules()
        for term in rest.replace(",", " ").split():
            key, equals, value = term.partition("=")
            if key not in TERMS or not equals:
                near = difflib.get_close_matches(key, TERMS, n=1)
                hint = f"did you mean {near[0]}=…?" if near else f"terms: {', '.join(TERMS)}"
                raise UserError(f"a schedule has no term '{term}'", next_step=f"{hint}; {EXAMPLE}")
            if key == "free":
                space = parse_floor(value)
            else:
                found = replace(found, **{key: _hours(value) if key == "within" else _count(term, value)})
        if colon:
            branches.append((name.strip(), found))
        else:
            rules = found
    if floor:
        space = parse_floor(floor)
    if not rules and not any(found for _, found in branches):
        raise UserError(f"the schedule '{text}' keeps nothing by itself", next_step=f"say what to keep, {EXAMPLE}")
    return Schedule(rules, tuple(branches), space)


def parse_floor(text: str) -> Floor:
    """10% or 5G. Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%|[KMGT]?)(?:i?B)?", text.strip())
    if not found or (found[2] == "%" and float(found[1]) >= 100):
        raise UserError(f"'{text}' is no amount of free space", next_step="write it as 10% or 5G")
    if found[2] == "%":
        return Floor(percent=float(found[1]))
    return Floor(size=int(float(found[1]) * (1 << _UNITS[found[2]])))


def _count(term: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise UserError(f"'{term}' has no number", next_step=f"write a whole number, {EXAMPLE}")
    return int(value)


def _hours(value: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([hdwmy])", value)
    if not found:
        raise UserError(f"'{value}' is no duration", next_step="write it as 12h, 3d, 2w, 6m or 1y")
    return int(found[1]) * _HOURS[found[2]]


def kept_by(rules: Rules, snapshots: Sequence[Snapshot], proven: Sequence[int] = ()) -> dict[int, tuple[str, ...]]:
    """Snapshot id → the rules that keep it, in words. `proven`: those that booted well, the newest first.

    Newest first is by id: ids only grow, whatever the clock did.
    """
    why: dict[int, list[str]] = {}
    newest = sorted(snapshots, key=lambda item: item.id, reverse=True)
    for place, item in enumerate(newest[: rules.last]):
        why.setdefault(item.id, []).append(f"last {place + 1} of {rules.last}")
    times = {item.id: _time(item.created) for item in newest}
    if rules.within and newest:
        begin = max(times.values()) - timedelta(hours=rules.within)
        for item in newest:
            if times[item.id] >= begin:
                why.setdefault(item.id, []).append("within")
    for period in PERIODS:
        wanted = getattr(rules, period)
        seen: list[str] = []
        for item in newest if wanted else ():
            label = _period(times[item.id], period)
            if label in seen:
                continue
            if len(seen) == wanted:
                break
            seen.append(label)
            why.setdefault(item.id, []).append(f"{period} {label}")
    mine = {item.id for item in newest}
    for place, number in enumerate([number for number in proven if number in mine][: rules.good]):
        why.setdefault(number, []).append(f"good {place + 1} of {rules.good}")
    return {number: tuple(reasons) for number, reasons in why.items()}


def _time(iso: str) -> datetime:
    time = datetime.fromisoformat(iso)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _period(time: datetime, period: str) -> str:
    if period == "weekly":
        year, week, _ = time.isocalendar()
        return f"{year}-W{week:02d}"
    return time.strftime({"hourly": "%Y-%m-%d %H h", "daily": "%Y-%m-%d", "monthly": "%Y-%m", "yearly": "%Y"}[period])
