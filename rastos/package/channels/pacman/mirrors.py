"""Which server is asked first: the order of the configuration, those that failed lately last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rastos.errors import RastosError

FORGIVEN = 24 * 3600.0  # seconds after which a failure no longer counts


class Mirrors:
    """The servers of one channel; failures are kept in a file beside its database."""

    def __init__(self, servers: Sequence[str], record: Path) -> None:
        self.servers = tuple(dict.fromkeys(servers))
        self.record = record

    def ordered(self) -> tuple[str, ...]:
        """All servers; the one that failed most recently is the last."""
        failed = self._failed()
        return tuple(sorted(self.servers, key=lambda server: failed.get(server, 0.0)))

    def failed(self, server: str) -> None:
        """Remember that this server failed."""
        self._write({**self._failed(), server: time.time()})

    def worked(self, server: str) -> None:
        """Forget its failures."""
        failed = self._failed()
        if failed.pop(server, None) is not None:
            self._write(failed)

    def of(self, url: str) -> str:
        """The server an address belongs to; empty for none of them."""
        return next((server for server in self.servers if url.startswith(f"{server}/")), "")

    def _failed(self) -> dict[str, float]:
        from rastos.host import read_json

        try:
            found = read_json(self.record)
            recent = time.time() - FORGIVEN
            return {server: float(at) for server, at in found.items() if server in self.servers and float(at) > recent}
        except (OSError, RastosError, ValueError, TypeError, AttributeError):
            return {}  # it only orders: what can't be read is written anew

    def _write(self, failed: dict[str, float]) -> None:
        from rastos.host import write_json

        self.record.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.record, failed)
