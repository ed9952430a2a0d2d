"""A kernel's final .config, read alone: a deploy looks at one, and needs nothing else of Kconfig."""

from __future__ import annotations

from pathlib import Path


def read_config(path: Path) -> dict[str, str]:
    """A .config as symbol → value; what is not set is absent."""
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("CONFIG_"):
            symbol, _, value = line.removeprefix("CONFIG_").partition("=")
            values[symbol] = value
    return values
