"""A machine's console and screen in a browser: served on the loopback, to whoever has the address with its token."""

from __future__ import annotations

from .server import served_console as served_console
from .source import Source as Source
from .source import source_of as source_of
