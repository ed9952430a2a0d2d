"""What is remembered of a channel's database, and whether another one is newer: an old one, replayed, hides updates."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from rastos.errors import IntegrityError, RastosError

from ...database import SyncIndex

LARGEST = 1 << 30  # bytes of a database, as fetched
_BUILT = re.compile(rb"%BUILDDATE%\n(\d{1,18})")


@dataclass(frozen=True)
class Seen:
    """The database in use. Times in seconds since 1970; `newest` is the last %BUILDDATE%, 0: unknown."""

    sha256: str
    server: str = ""
    etag: str = ""
    modified: str = ""
    strong: bool = False
    signed: int = 0
    newest: int = 0
    count: int = 0


def read_seen(path: Path) -> Seen | None:
    """What was written last; None where there is nothing, or nothing readable."""
    from rastos.host import read_json

    try:
        return Seen(**read_json(path))
    except (OSError, RastosError, TypeError):
        return None


def write_seen(path: Path, seen: Seen) -> None:
    """Remember it."""
    from rastos.host import write_json

    write_json(path, asdict(seen))


def build_dates(index: SyncIndex) -> dict[str, int]:
    """When every package was built."""
    found = {name: _BUILT.search(body) for name, body in index.bodies()}
    return {name: int(match[1]) for name, match in found.items() if match}


def refuse_older(
    seen: Seen, fetched: Seen, previous: Path, dates: dict[str, int], on: str, record: Path, *, signatures: bool
) -> None:
    """IntegrityError where the fetched database is from before the one in use.

    Two signed ones are compared by their signatures, if `signatures` are checked at all. Otherwise by the packages: a database whose last build is earlier
    is an old one, unless only packages were taken out and the server says that it was written later.
    """
    reason = ""
    if signatures and seen.signed and not fetched.signed:
        reason = "it was signed before and isn't now"
    elif signatures and seen.signed:
        if fetched.signed < seen.signed:
            reason = f"it was signed on {_day(fetched.signed)}, the one in use on {_day(seen.signed)}"
    else:
        before, after = _time(seen.modified), _time(fetched.modified)
        if fetched.newest < seen.newest:
            if not (before and after and after > before) or _went_back(previous, dates):
                reason = f"its last build is of {_day(fetched.newest)}, that of the one in use of {_day(seen.newest)}"
        elif before and after and after < before and fetched.newest == seen.newest and seen.newest:
            reason = f"it is of {fetched.modified}, the one in use of {seen.modified}"
    if reason:
        raise IntegrityError(
            f"an old package database is offered: {reason}",
            on=on,
            next_step=f"the one in use stays; if the repository did go back, remove {record}",
        )


def _went_back(previous: Path, dates: dict[str, int]) -> bool:
    """Whether a package that is in both is older in the new one."""
    try:
        old = build_dates(SyncIndex.load(previous))
    except (OSError, RastosError):
        return True
    return any(dates.get(name, made) < made for name, made in old.items())


def _time(modified: str) -> float:
    try:
        return parsedate_to_datetime(modified).timestamp() if modified else 0.0
    except (TypeError, ValueError):
        return 0.0


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, 1 << 34), UTC).strftime("%Y-%m-%d %H:%M:%S")
