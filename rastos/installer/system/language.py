"""Language and formats: locale.conf(5), and the locale itself where glibc doesn't bring it."""

from __future__ import annotations

from pathlib import Path

from rastos.errors import UserError
from rastos.host import run_in_root, system_mounts

from ..profile import ImageProfile
from ..profile.keys import near
from .writing import write

BUILT_IN_LOCALES = ("c", "posix", "c.utf-8", "c.utf8")
SOURCES = "usr/share/i18n/SUPPORTED"


def set_language(tree: Path, profile: ImageProfile) -> None:
    """UserError: the tree has no such locale, nor what it is made of."""
    if profile.locale.lower() not in BUILT_IN_LOCALES:
        _make_locale(tree, profile)
    write(tree, "etc/locale.conf", f"LANG={profile.locale}\n")
    if (tree / "etc/default").is_dir():
        write(tree, "etc/default/locale", f"LANG={profile.locale}\n")


def _make_locale(tree: Path, profile: ImageProfile) -> None:
    """Compile a locale that glibc doesn't bring; its sources and `locale-gen` have to be among the packages."""
    sources = tree / SOURCES
    known = sources.read_text(encoding="utf-8").splitlines() if sources.is_file() else []
    line = next((row for row in known if row.split()[:1] == [profile.locale]), None)
    if line is None:
        raise UserError(
            f"there is no locale '{profile.locale}'",
            on=profile.origin("locale"),
            next_step=locale_step(profile.locale, [row.split()[0] for row in known if row.strip()]),
        )
    write(tree, "etc/locale.gen", f"{line}\n")
    with system_mounts(tree):
        run_in_root(tree, ["locale-gen"], what=f"make the locale {profile.locale}")


def locale_step(name: str, known: list[str]) -> str:
    """What to write instead, or what to add."""
    hint = near(name, known)
    return hint if hint.startswith("did") else 'use C.UTF-8, or add what locales are made of: packages = ["locales"]'
