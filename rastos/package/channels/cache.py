"""The cache channel: package files that are at hand already, for going back to versions no repository has any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.progress import Progress

from ..lockfile import LockedFile
from ..records import PackageRecord
from . import Channel, SyncDatabase, Wanted, safe_filename


class CacheChannel:
    """Files by package name, with the records read from them; see `Channel`.

    `behind` are the channels they came from once: what those have to configure in a tree, they still have to.
    """

    name = "cache"

    def __init__(
        self,
        records: Sequence[PackageRecord],
        files: Mapping[str, Path],
        database: Path,
        behind: Sequence[Channel] = (),
    ) -> None:
        self._records = tuple(records)
        self._files = dict(files)
        self._database = database
        self._behind = tuple(behind)

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """A database of these files."""
        from rastos.host import write_atomic

        from ..repository import pack_database

        self._database.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._database, pack_database(self._records))
        return SyncDatabase(self.name, self._database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Put the files into `into`. IntegrityError: one is not what it was when it was chosen."""
        from rastos.host import copy_file, rename_durable, sha256_file

        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            name = safe_filename(package.filename, self.name)
            source, target = self._files.get(package.name), into / name
            if source is None or not source.is_file():
                raise UserError(f"the file of {package.name} is gone", on=source or name, next_step="plan again")
            if not package.sha256 or sha256_file(source) != package.sha256:
                raise IntegrityError(f"{package.name} was changed since it was chosen: its digest differs", on=source)
            if target.is_file() and (target.samefile(source) or sha256_file(target) == package.sha256):
                continue
            temporary = target.with_name(f".{name}.part")
            copy_file(source, temporary)
            rename_durable(temporary, target)

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """Nothing: a cache is no archive that a lockfile could name."""
        return {}

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """What the channels behind have to do; they know their own packages in the tree."""
        for channel in self._behind:
            channel.configure(root, packages, progress)

    def display_version(self, version: str) -> str:
        """As the distribution writes it that the version is from."""
        from ..plan import shown_version

        return shown_version(version)
