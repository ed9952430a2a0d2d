"""Which units start: systemctl(1) in the tree, after every name was looked for there."""

from __future__ import annotations

from pathlib import Path

from rastos.errors import UserError
from rastos.host import run_in_root, system_mounts

from ..profile import ImageProfile
from ..profile.keys import near
from .writing import UNITS

FOLDERS = (UNITS, "etc/systemd/system", "usr/local/lib/systemd/system")


def set_services(tree: Path, profile: ImageProfile) -> None:
    """UserError: a unit isn't in the tree."""
    known = units_of(tree)
    for key in ("enable", "disable", "mask"):
        for unit in getattr(profile, key):
            if not is_known(unit, known):
                raise UserError(
                    f"there is no unit '{unit}' to {key}",
                    on=profile.origin(key, unit),
                    next_step=unit_step(unit, known),
                )
    wanted = [*profile.enable, "systemd-networkd.service"]
    if (tree / f"{UNITS}/systemd-resolved.service").exists():
        wanted.append("systemd-resolved.service")
    # nothing here waits for "online", and waiting for it costs boot time
    unwanted = ["systemd-networkd-wait-online.service"]
    with system_mounts(tree):
        run_in_root(tree, ["systemctl", "enable", *wanted], what="enable services")
        run_in_root(tree, ["systemctl", "disable", *unwanted], check=False)
        if profile.disable:
            run_in_root(tree, ["systemctl", "disable", *profile.disable], what="disable services")
        if profile.mask:
            run_in_root(tree, ["systemctl", "mask", *profile.mask], what="mask services")


def units_of(tree: Path) -> frozenset[str]:
    """Names of the units a tree has, aliases too."""
    return frozenset(path.name for folder in FOLDERS for path in (tree / folder).glob("*.*") if not path.is_dir())


def is_known(unit: str, known: frozenset[str]) -> bool:
    """Whether a unit is there; getty@tty2.service is where getty@.service is."""
    stem, _, kind = unit.rpartition(".")
    return unit in known or ("@" in stem and f"{stem.partition('@')[0]}@.{kind}" in known)


def unit_step(unit: str, known: frozenset[str]) -> str:
    """What to write instead."""
    hint = near(unit, known)
    return hint if hint.startswith("did") else "add the package that brings it, or leave it out"
