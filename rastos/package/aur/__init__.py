"""The AUR: recipes of Arch's users, looked up, reviewed, built as nobody in a disposable root, kept in the local repository.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import Built, build_recipe
    from .order import BuildPlan, BuildStep, plan_builds
    from .recipe import Recipe, parse_srcinfo
    from .review import Review, accept, review_of
    from .rpc import Aur, AurPackage
    from .sources import Checkout, check_out

_HOMES = {
    "build": ("Built", "build_recipe"),
    "order": ("BuildPlan", "BuildStep", "plan_builds"),
    "recipe": ("Recipe", "parse_srcinfo"),
    "review": ("Review", "accept", "review_of"),
    "rpc": ("Aur", "AurPackage"),
    "sources": ("Checkout", "check_out"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Aur",
    "AurPackage",
    "BuildPlan",
    "BuildStep",
    "Built",
    "Checkout",
    "Recipe",
    "Review",
    "accept",
    "build_recipe",
    "check_out",
    "parse_srcinfo",
    "plan_builds",
    "review_of",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
