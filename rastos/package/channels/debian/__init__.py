"""The debian channel: a Debian suite seen as a pacman repository."""

from __future__ import annotations

from .channel import DebianChannel
from .relations import alternatives_of
from .sources import Source, explicit, from_host
from .versions import decode, encode

__all__ = ["DebianChannel", "Source", "alternatives_of", "decode", "encode", "explicit", "from_host"]
