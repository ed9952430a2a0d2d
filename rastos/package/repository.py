"""The repository of packages built on this machine: pacman's own format, so that pacman can read it too.

`<name>.db` is a symbolic link to `<name>.db.tar.zst`, a tar of `<package>-<version>/desc`; the packages lie beside it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rastos.errors import IntegrityError, UserError

from .records import PackageRecord, format_desc, parse_package_info

LOCK = ".lock"
# information is at the front of a package; what has more than this before .PKGINFO isn't one
_MAX_INFO = 1 << 22


@dataclass(frozen=True)
class LocalPackage:
    """A package of the repository and its file."""

    record: PackageRecord
    path: Path

    @property
    def name(self) -> str:
        """Package name."""
        return self.record.name

    @property
    def version(self) -> str:
        """`[epoch:]version-release`."""
        return self.record.version

    @property
    def sha256(self) -> str:
        """Digest of the package file."""
        return self.record.sha256


class LocalRepository:
    """Packages in one folder with a sync database; readers need no lock, writers hold one."""

    def __init__(self, directory: Path, name: str = "rastos-local") -> None:
        self.directory = directory
        self.name = name

    @property
    def database(self) -> Path:
        """The sync database file (it may not exist while the repository is empty)."""
        return self.directory / f"{self.name}.db.tar.zst"

    def packages(self) -> tuple[LocalPackage, ...]:
        """Every package, by name. IntegrityError: the database is damaged."""
        if not self.database.is_file():
            return ()
        records = read_database(self.database, self.name)
        return tuple(LocalPackage(record, self.directory / record.filename) for record in records)

    def find(self, name: str) -> LocalPackage | None:
        """The package of that name."""
        return next((package for package in self.packages() if package.name == name), None)

    def add(self, package: Path) -> None:
        """Take a package file (copied unless it lies here already); it replaces the entry of the same name.

        IntegrityError: not a package. BusyError: somebody else writes for longer than 30 s.
        """
        from rastos.host import copy_file, locked, rename_durable

        record = package_record(package)
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / LOCK, f"adding {record.name} to the repository", wait=30.0):
            target = self.directory / record.filename
            if not (target.exists() and target.samefile(package)):
                temporary = target.with_name(f".{target.name}.part")
                copy_file(package, temporary)
                rename_durable(temporary, target)
            signature = package.with_name(package.name + ".sig")
            if signature.is_file():
                _copy_unless_same(signature, target.with_name(target.name + ".sig"))
            kept = {entry.name: entry.record for entry in self.packages()}
            kept[record.name] = record
            self.write(kept.values())

    def remove(self, name: str) -> None:
        """Take a package out and delete its file. UserError: there is none."""
        from rastos.host import locked

        entry = self.find(name)
        if entry is None:
            raise UserError(
                f"no package '{name}' in the local repository", on=self.directory, next_step="see what is there"
            )
        with locked(self.directory / LOCK, f"removing {name} from the repository", wait=30.0):
            self.write(item.record for item in self.packages() if item.name != name)
            entry.path.unlink(missing_ok=True)

    def write(self, records: Iterable[PackageRecord]) -> None:
        """Replace the database by one of these records; the caller holds the lock."""
        from rastos.host import write_atomic

        write_atomic(self.database, pack_database(records))
        link = self.directory / f"{self.name}.db"
        if not link.is_symlink():
            temporary = link.with_name(f".{link.name}.part")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.database.name)
            os.rename(temporary, link)


def pack_database(records: Iterable[PackageRecord]) -> bytes:
    """A sync database (tar in zstd); the same records give the same bytes."""
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for record in sorted(records, key=lambda item: item.name):
            folder = tarfile.TarInfo(f"{record.name}-{record.version}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            content = format_desc(record).encode()
            entry = tarfile.TarInfo(f"{folder.name}/desc")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(buffer.getvalue())


def read_database(path: Path, channel: str = "") -> list[PackageRecord]:
    """All records of a small sync database; for whole suites use `SyncIndex`."""
    from .database import SyncIndex

    index = SyncIndex.load(path, channel)
    return [index.record(name) for name in index.names()]


def package_record(path: Path) -> PackageRecord:
    """What a package file says of itself, with its digest and size. IntegrityError: it isn't one."""
    from rastos.host import sha256_file

    if not path.is_file():
        raise UserError("there is no such package file", on=path, next_step="check the path")
    facts = {"filename": path.name, "download_size": path.stat().st_size, "sha256": sha256_file(path)}
    try:
        return parse_package_info(_package_info(path), facts)
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"not a pacman package: {error}", on=path) from error


def _package_info(path: Path) -> str:
    from .database import open_decompressed

    try:
        with open_decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.name in (".PKGINFO", "./.PKGINFO") and member.isreg() and member.size < _MAX_INFO:
                    content: IO[bytes] | None = tar.extractfile(member)
                    assert content is not None
                    return content.read().decode("utf-8")
                if not member.name.removeprefix("./").startswith("."):
                    break
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
        raise IntegrityError(f"not a pacman package: {error}", on=path) from error
    raise IntegrityError("not a pacman package: no .PKGINFO before its files", on=path)


def _copy_unless_same(source: Path, target: Path) -> None:
    from rastos.host import copy_file

    if not (target.exists() and target.samefile(source)):
        copy_file(source, target)


__all__ = ["LocalPackage", "LocalRepository", "pack_database", "package_record", "read_database"]
