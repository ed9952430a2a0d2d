"""A bundle: a folder with every package of a lockfile, as a small pacman repository, to build from with no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.progress import Progress

from .channels import Channel, SyncDatabase, Wanted, safe_filename
from .lockfile import LockedFile, LockedPackage, Lockfile, read_lockfile, write_lockfile
from .repository import LocalPackage, LocalRepository, package_record

NAME = "rastos-locked"
LOCK = "packages.lock"


@dataclass(frozen=True)
class Bundle:
    """A written bundle; `size` in bytes."""

    folder: Path
    packages: int
    size: int
    removed: tuple[str, ...] = ()


def write_bundle(lock: Lockfile, channels: Sequence[Channel], folder: Path, progress: Progress) -> Bundle:
    """Fetch every package of a lockfile into a folder and make a repository of exactly them; others there are removed.

    IntegrityError: a file isn't what was locked. HostError: no network, or no channel has a file any more.
    """
    from rastos.host import locked

    folder.mkdir(parents=True, exist_ok=True)
    repository = LocalRepository(folder, NAME)
    by_channel: dict[str, list[LockedPackage]] = {}
    for package in lock.packages:
        by_channel.setdefault(package.record.channel, []).append(package)
    by_name = {channel.name: channel for channel in channels}
    with locked(folder / ".lock", "filling a bundle", wait=30.0):
        for name, packages in by_channel.items():
            if name not in by_name:
                raise UserError(f"the channel '{name}' is not declared any more", next_step="declare it, or lock again")
            by_name[name].fetch([wanted(package) for package in packages], folder, progress)
        records = []
        for package in lock.packages:
            record = package_record(folder / package.record.filename)
            if (record.name, record.version) != (package.record.name, package.record.version):
                raise IntegrityError(f"the file holds {record.name} {record.version}", on=package.record.filename)
            records.append(record)
        repository.write(records)
        write_lockfile(folder / LOCK, lock)
        keep = {record.filename for record in records}
        gone = [path for path in sorted(folder.glob("*.pkg.tar.*")) if path.name.removesuffix(".sig") not in keep]
        for path in gone:
            path.unlink()
    size = sum((folder / name).stat().st_size for name in keep)
    return Bundle(folder, len(records), size, tuple(path.name for path in gone))


def wanted(package: LockedPackage) -> Wanted:
    """What a channel is asked for to get exactly that file."""
    record, file = package.record, package.file
    return Wanted(record.name, record.version, record.filename, record.sha256, file.size, package)


def bundle_repository(folder: Path) -> LocalRepository:
    """The repository a bundle is."""
    return LocalRepository(folder, NAME)


def bundle_channels(
    folder: Path, lock: Lockfile, channels: Sequence[Channel], *, keyring: Path | None = None
) -> list[Channel]:
    """The same channels, their packages taken from a bundle. UserError: it is not one, or of another lockfile.

    With `keyring` its database has to be signed by a key of that (IntegrityError). Without, files are held to the lockfile's
    digests, and those that a channel has made itself (Debian's, converted) to the bundle's own.
    """
    repository = bundle_repository(folder)
    if not repository.database.is_file():
        raise UserError(
            "this folder is no bundle", on=folder, next_step="make one: `rastos package fetch --locked DIR`"
        )
    if read_lockfile(folder / LOCK) != lock:
        step = "fill it again: `rastos package fetch --locked DIR`"
        raise UserError("this bundle is of another lockfile", on=folder, next_step=step)
    if keyring is not None:
        _verify(repository, keyring)
    packages = {package.name: package for package in repository.packages()}
    return [BundleChannel(channel, repository, packages) for channel in channels]


def _verify(repository: LocalRepository, keyring: Path) -> None:
    import tempfile

    from .channels.signatures import verify_detached

    signature = repository.database.with_name(f"{repository.database.name}.sig")
    if not signature.is_file():
        step = "sign it where it was made: `rastos package fetch --locked DIR --key KEY`"
        raise IntegrityError("this bundle is not signed", on=repository.directory, next_step=step)
    with tempfile.TemporaryDirectory() as work:
        verify_detached(repository.database, signature, keyring, Path(work), "the bundle")


class BundleChannel:
    """See `Channel`: a channel whose files come from a bundle; what it does in a tree stays its own."""

    def __init__(self, behind: Channel, repository: LocalRepository, packages: Mapping[str, LocalPackage]) -> None:
        self.name = behind.name
        self._behind = behind
        self._repository = repository
        self._packages = packages

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """The bundle's database."""
        return SyncDatabase(self.name, self._repository.database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Copy the files, each checked against the bundle's database, and the lockfile where it names this very file."""
        from rastos.host import copy_file, rename_durable, sha256_file

        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            there = self._packages.get(package.name)
            if there is None or there.version != package.version:
                raise IntegrityError(
                    f"the bundle lacks {package.name} {package.version}", on=self._repository.directory
                )
            name = safe_filename(package.filename, self.name)
            direct = package.locked is not None and package.locked.file.location.endswith(name)
            digest = package.locked.file.sha256 if direct and package.locked else there.sha256
            target = into / name
            if target.is_file() and sha256_file(target) == digest:
                continue
            temporary = target.with_name(f".{name}.part")
            copy_file(there.path, temporary)
            if sha256_file(temporary) != digest:
                temporary.unlink()
                raise IntegrityError(f"{package.name} isn't the file that was locked", on=there.path)
            rename_durable(temporary, target)
        if hasattr(self._behind, "take_files"):
            self._behind.take_files({package.name: into / package.filename for package in packages})

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """As the channel behind."""
        return self._behind.locate(names)

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """As the channel behind."""
        self._behind.configure(root, packages, progress)

    def display_version(self, version: str) -> str:
        """As the channel behind."""
        return self._behind.display_version(version)

    def __getattr__(self, name: str) -> object:
        # `before_removal` and the like are there exactly where the channel behind has them
        return getattr(self._behind, name)
