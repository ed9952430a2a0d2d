"""The debian channel: a Debian suite seen as a pacman repository.

    DebianChannel(cache / "debian", from_host())                                     # the host's own apt sources
    DebianChannel(cache / "debian", explicit(uri, ["bookworm"], ["main"], keyring))  # what a manifest names

Beyond `Channel` it has `essential` (packages nothing depends on, yet every system has), `records`, and
`before_removal(root, names, progress)` for a plan that removes packages. `alternatives_of` tells a resolver which names
a virtual `any:…` dependency stands for, preferred first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .channel import DebianChannel
    from .relations import alternatives_of
    from .sources import Source, explicit, from_host
    from .versions import decode, encode

_HOMES = {
    "DebianChannel": "channel",
    "Source": "sources",
    "alternatives_of": "relations",
    "decode": "versions",
    "encode": "versions",
    "explicit": "sources",
    "from_host": "sources",
}

__all__ = ["DebianChannel", "Source", "alternatives_of", "decode", "encode", "explicit", "from_host"]


def __getattr__(name: str) -> Any:
    # versions are decoded for every tree; the channel itself is needed by few commands
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
