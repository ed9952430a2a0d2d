"""The debian channel: a Debian suite seen as a pacman repository.

    DebianChannel(cache / "debian", from_host())                                     # the host's own apt sources
    DebianChannel(cache / "debian", explicit(uri, ["bookworm"], ["main"], keyring))  # what a manifest names

Beyond `Channel` it has `essential` (packages nothing depends on, yet every system has), `records`, and
`before_removal(root, names, progress)` for a plan that removes packages. `alternatives_of` tells a resolver which names
a virtual `any:…` dependency stands for, preferred first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .channel import DebianChannel
    from .relations import alternatives_of
    from .sources import Source, explicit, from_host
    from .versions import decode, encode

_HOMES = {
    "channel": ("DebianChannel",),
    "relations": ("alternatives_of",),
    "sources": ("Source", "explicit", "from_host"),
    "versions": ("decode", "encode"),
}

__all__ = ["DebianChannel", "Source", "alternatives_of", "decode", "encode", "explicit", "from_host"]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
