"""What the configured system would lack, told from the lists of the planned packages before anything is installed."""

from __future__ import annotations

import re
from pathlib import Path

from rastos.errors import UserError
from rastos.package import PackagePaths

from ..profile import ImageProfile
from .keyboard import KEYMAPS, LAYOUTS, keymap_step, model_map
from .language import BUILT_IN_LOCALES, SOURCES, locale_step
from .services import FOLDERS, is_known, unit_step
from .time_zone import ZONES, zone_step

HOST = Path("/")  # its own lists of locales and keymaps stand in for those that can't be read yet


def says_much(profile: ImageProfile) -> bool:
    """Whether a profile asks for anything that packages have to bring."""
    asks = (
        profile.keymap,
        profile.enable,
        profile.disable,
        profile.mask,
        [user for user in profile.users if user.sudo],
    )
    return any(asks) or profile.timezone != "UTC" or profile.locale.lower() not in BUILT_IN_LOCALES


def foreseen(profile: ImageProfile, packages: PackagePaths) -> tuple[UserError, ...]:
    """Faults that `configure_system` would come upon. Where a package's files aren't known yet, what it might bring is let pass."""
    faults = [*_time_zone(profile, packages), *_language(profile, packages), *_keymap(profile, packages)]
    faults += [*_units(profile, packages), *_sudo(profile, packages)]
    return tuple(faults)


def _time_zone(profile: ImageProfile, packages: PackagePaths) -> list[UserError]:
    known = packages.below(ZONES)
    if profile.timezone in known or not (known or packages.complete):
        return []
    step = zone_step(profile.timezone, tuple(name for name in known if not name.startswith(("posix/", "right/"))))
    return [UserError(f"unknown time zone '{profile.timezone}'", on=profile.origin("timezone"), next_step=step)]


def _language(profile: ImageProfile, packages: PackagePaths) -> list[UserError]:
    if profile.locale.lower() in BUILT_IN_LOCALES:
        return []
    where = profile.origin("locale")
    if SOURCES not in packages.paths:
        if not packages.complete:
            return []
        return [
            UserError(
                f"there is nothing to make the locale '{profile.locale}' of", on=where, next_step=locale_step("", [])
            )
        ]
    place = HOST / SOURCES
    known = [row.split()[0] for row in place.read_text().splitlines() if row.strip()] if place.is_file() else []
    if not known or profile.locale in known:
        return []
    return [UserError(f"there is no locale '{profile.locale}'", on=where, next_step=locale_step(profile.locale, known))]


def _keymap(profile: ImageProfile, packages: PackagePaths) -> list[UserError]:
    if not profile.keymap:
        return []
    files = [path for folder in KEYMAPS for path in packages.below(folder)]
    known = {re.sub(r"\.map(\.gz|\.xz|\.zst)?$", "", path.rpartition("/")[2]) for path in files if ".map" in path}
    if LAYOUTS in packages.paths:
        table = model_map(HOST)
        layouts = {name for row in table.values() for name in row[0].split(",")}
        if not table or profile.keymap.partition("-")[0] in layouts:
            return []
        known |= table.keys()
    if profile.keymap in known or not (known or packages.complete):
        return []
    step = keymap_step(profile.keymap, known)
    return [UserError(f"there is no keymap '{profile.keymap}'", on=profile.origin("keymap"), next_step=step)]


def _units(profile: ImageProfile, packages: PackagePaths) -> list[UserError]:
    if not packages.complete:
        return []
    own = [file.path.lstrip("/") for file in profile.files]
    brought = {name for folder in FOLDERS for name in packages.below(folder)}
    brought |= {path.rpartition("/")[2] for path in own if path.rpartition("/")[0] in FOLDERS}
    known = frozenset(name for name in brought if "/" not in name) | {
        "rastos-host-keys.service",
        "rastos-first-boot.service",
    }
    return [
        UserError(f"there is no unit '{unit}' to {key}", on=profile.origin(key, unit), next_step=unit_step(unit, known))
        for key in ("enable", "disable", "mask")
        for unit in getattr(profile, key)
        if not is_known(unit, known)
    ]


def _sudo(profile: ImageProfile, packages: PackagePaths) -> list[UserError]:
    if not packages.complete or "usr/bin/sudo" in packages.paths:
        return []
    return [
        UserError(
            f"user {user.name} is to use sudo, which no package brings",
            on=profile.origin("users", user.name, "sudo"),
            next_step='add it: packages = ["sudo"]',
        )
        for user in profile.users
        if user.sudo
    ]
