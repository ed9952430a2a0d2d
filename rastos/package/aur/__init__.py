"""The AUR: recipes of Arch's users, looked up, reviewed, built as nobody in a disposable root, kept in the local repository.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

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
    return first_use(__name__, _HOMES, name)
