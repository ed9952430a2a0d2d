"""The tree that is worked on: its root, where its package database is, and where fetched packages lie."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

# /var of an immutable tree is shared by all deployments, the database belongs to one tree and goes back with it
IMMUTABLE_DATABASE = "usr/lib/sysimage/pacman"
PLAIN_DATABASE = "var/lib/pacman"


@dataclass(frozen=True)
class Target:
    """A tree under `root`; `cache` is a folder outside of it."""

    root: Path
    database: Path
    cache: Path

    @property
    def packages(self) -> Path:
        """Where fetched package files lie."""
        return self.cache / "packages"

    @property
    def arch(self) -> str:
        """The architecture of packages that may be installed."""
        return platform.machine()

    @property
    def key(self) -> str:
        """A name for this tree's lock and journal."""
        from rastos.host import digest_of

        return digest_of(str(self.root.resolve()))[:16]


def target_for(root: Path, cache: Path, *, immutable: bool | None = None) -> Target:
    """The target for a root folder; `immutable` says where the database is, None: where one is found already."""
    root = root.absolute()
    if immutable is None:
        immutable = (root / IMMUTABLE_DATABASE / "local").is_dir() or not (root / PLAIN_DATABASE / "local").is_dir()
    return Target(root, root / (IMMUTABLE_DATABASE if immutable else PLAIN_DATABASE), cache.absolute())
