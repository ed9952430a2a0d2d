"""What makes two images of the same inputs differ though nobody asked for it: times and caches, taken out before the commit.

The date of everything an image makes is that of its newest package (`epoch_of`), which follows from the lockfile. Files
that packages bring keep their own times, which are older (as mkosi and Debian's reproducible-builds do: clamped, not set).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rastos.host import safe_join
from rastos.package import read_local, target_for

# made anew by whoever wants it, and full of inode numbers and times
CACHES = ("var/cache/ldconfig/aux-cache",)
LOGS = "var/log"
PASSWORDS = ("etc/shadow", "etc/shadow-")
_INSTALLED = re.compile(rb"(?m)^%INSTALLDATE%\n\d+$")
EARLIEST = 315532800  # 1980: FAT has no earlier time


def epoch_of(tree: Path) -> int:
    """Seconds since 1970 at which the newest package of a tree was built; never before 1980."""
    packages = read_local(target_for(tree, tree).database)
    return max((EARLIEST, *(record.builddate for record in packages.values())))


def without_moment(tree: Path, *, epoch: int | None = None) -> int:
    """Take out of a tree what says when it was made; returns the epoch used (default: `epoch_of`).

    Logs of the making are emptied; libalpm's install dates, days of passwords and all later times become the epoch.
    """
    moment = max(epoch_of(tree) if epoch is None else epoch, EARLIEST)
    for name in CACHES:
        safe_join(tree, name).unlink(missing_ok=True)
    logs = safe_join(tree, LOGS)
    for folder, _, names in os.walk(logs) if not logs.is_symlink() else ():
        for name in names:
            place = Path(folder, name)
            if place.is_file() and not place.is_symlink() and place.stat().st_size:
                os.truncate(place, 0)
    for place in (target_for(tree, tree).database / "local").glob("*/desc"):
        text = place.read_bytes()
        dated = _INSTALLED.sub(b"%%INSTALLDATE%%\n%d" % moment, text)
        if dated != text:
            place.write_bytes(dated)
    for name in PASSWORDS:
        _clamp_days(safe_join(tree, name), moment // 86400)
    _clamp(tree, moment)
    return moment


def _clamp_days(place: Path, day: int) -> None:
    """shadow(5), third field: the day a password was changed, which useradd(8) makes today."""
    if place.is_symlink() or not place.is_file():
        return
    rows = [row.split(":") for row in place.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    late = [row for row in rows if len(row) > 2 and row[2].isdigit() and int(row[2]) > day]
    for row in late:
        row[2] = str(day)
    if late:
        text = "".join(":".join(row) + "\n" for row in rows)
        place.write_text(text, encoding="utf-8", errors="surrogateescape")


def _clamp(tree: Path, moment: int) -> None:
    """No time of change later than `moment`; folders after what is in them."""
    limit = moment * 10**9
    for folder, folders, names in os.walk(tree, topdown=False):
        for name in (*names, *folders):
            _clamp_one(os.path.join(folder, name), limit)
    _clamp_one(os.fspath(tree), limit)


def _clamp_one(place: str, limit: int) -> None:
    found = os.lstat(place)
    if found.st_mtime_ns > limit:
        os.utime(place, ns=(min(found.st_atime_ns, limit), limit), follow_symlinks=False)
