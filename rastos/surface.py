"""The small surface of a package: names that are imported when they are first used, so that importing it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Homes = Mapping[str, tuple[str, ...]]
"""Module (relative to its package) and the names it gives the surface."""


def first_use(package: str, homes: Homes, name: str) -> Any:
    """What a package's `__getattr__` gives; it stays there. AttributeError: the surface has no such name."""
    import importlib
    import sys

    home = next((module for module, names in homes.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{package}.{home}"), name)
    setattr(sys.modules[package], name, value)
    return value
