"""The time zone: localtime(5)."""

from __future__ import annotations

from pathlib import Path

from rastos.errors import UserError
from rastos.host import safe_join

from ..profile import ImageProfile
from ..profile.keys import near
from .writing import link, write

ZONES = "usr/share/zoneinfo"


def set_time_zone(tree: Path, profile: ImageProfile) -> None:
    """UserError: the tree has no such zone."""
    if not safe_join(tree, f"{ZONES}/{profile.timezone}").is_file():
        raise UserError(
            f"unknown time zone '{profile.timezone}'",
            on=profile.origin("timezone"),
            next_step=zone_step(profile.timezone, zones_of(tree)),
        )
    link(tree, "etc/localtime", f"/{ZONES}/{profile.timezone}")
    write(tree, "etc/timezone", f"{profile.timezone}\n")


def zones_of(tree: Path) -> tuple[str, ...]:
    """The zones a tree has; the copies in posix/ and right/ are left out."""
    folder = tree / ZONES
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return tuple(str(path) for path in paths if path.parts[0] not in ("posix", "right") and path.suffix == "")


def zone_step(name: str, known: tuple[str, ...]) -> str:
    """What to write instead."""
    step = "use a name such as Europe/Berlin; the packages must include tzdata"
    hint = near(name, known)
    return f"{hint} ({step})" if hint.startswith("did") else step
