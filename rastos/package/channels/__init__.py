"""Where packages come from: every channel gives libalpm a verified sync database and verified files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rastos.progress import Progress


@dataclass(frozen=True)
class SyncDatabase:
    """A verified sync database file, and how strictly libalpm checks signatures of its packages."""

    name: str
    path: Path
    signature_level: Literal["never", "optional", "required"] = "never"


@dataclass(frozen=True)
class Wanted:
    """A package file a plan needs; `sha256` may be empty where only the channel knows how to verify it."""

    name: str
    version: str
    filename: str
    sha256: str = ""
    size: int = 0


class Channel(Protocol):
    """What the rest of `package` knows of a channel."""

    name: str

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """Bring the sync database up to date (`offline`: use the cache) and give it."""

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Put the verified file of every package into `into`."""

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run what has to run in `root` once the transaction is on disk; names in dependency order."""

    def display_version(self, version: str) -> str:
        """The version as the channel's own distribution writes it."""


__all__ = ["Channel", "SyncDatabase", "Wanted"]
