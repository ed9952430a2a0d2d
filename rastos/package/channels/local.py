"""The local channel: packages built on this machine, trusted because this machine wrote them (digests still count)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import IntegrityError, UserError
from rastos.progress import Progress

from ..lockfile import LockedFile
from . import SyncDatabase, Wanted, safe_filename

if TYPE_CHECKING:
    from ..repository import LocalRepository


class LocalChannel:
    """A `LocalRepository` as a channel; see `Channel`."""

    def __init__(self, repository: LocalRepository) -> None:
        self.name = repository.name
        self.repository = repository

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """The repository's own database. UserError: there is none."""
        if not self.repository.database.is_file():
            raise UserError(
                "there is no package repository here", on=self.repository.directory, next_step="check the path"
            )
        return SyncDatabase(self.name, self.repository.database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Copy (or reflink) the packages, each checked against the database."""
        from rastos.host import copy_file, rename_durable, sha256_file

        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            name = safe_filename(package.filename, self.name)
            source, target = self.repository.directory / name, into / name
            if not source.is_file():
                raise IntegrityError(f"{package.name} is in the database but its file is gone", on=source)
            if target.is_file() and sha256_file(target) == package.sha256:
                continue
            temporary = target.with_name(f".{name}.part")
            copy_file(source, temporary)
            if sha256_file(temporary) != package.sha256:
                temporary.unlink()
                raise IntegrityError(f"{package.name} isn't the file the database names: its digest differs", on=source)
            rename_durable(temporary, target)

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """The files of the repository."""
        wanted = set(names)
        found = [package.record for package in self.repository.packages() if package.name in wanted]
        return {r.name: LockedFile(r.filename, r.sha256, r.download_size) for r in found}

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Nothing: libalpm has run the packages' own scripts."""

    def display_version(self, version: str) -> str:
        """As it is."""
        return version
