"""The repository of packages built on this machine: pacman's own format, so that pacman can read it too.

`<name>.db` is a symbolic link to `<name>.db.tar.zst`, a tar of `<package>-<version>/desc`; the packages lie beside it.
`<name>.files` has the paths in every package too (`pacman -F`). Signatures are files beside what they sign.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from rastos.errors import IntegrityError, UserError

from .records import PackageRecord, format_desc, parse_package_info

LOCK = ".lock"
# information is at the front of a package; what has more than this before .PKGINFO isn't one
_MAX_INFO = 1 << 22
_MAX_SIGNATURE = 1 << 14  # as repo-add: larger ones are no signatures
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*\Z")


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

    @classmethod
    def of(cls, directory: Path, name: str = "") -> LocalRepository:
        """The repository in a folder, ours or repo-add's; a new one gets `name`, or the folder's. UserError: which?"""
        found = sorted(
            path.name.removesuffix(".db") for path in directory.glob("*.db") if not path.name.startswith(".")
        )
        if not name and len(found) > 1:
            raise UserError(
                f"there are {len(found)} repositories here: {', '.join(found)}",
                on=directory,
                next_step="name one: --name NAME",
            )
        chosen = name or (found[0] if found else directory.absolute().name)
        if not _NAME.match(chosen):
            raise UserError(f"a repository cannot be named '{chosen}'", on=directory, next_step="give one: --name NAME")
        return cls(directory, chosen)

    @property
    def database(self) -> Path:
        """The sync database file (it may not exist while the repository is empty)."""
        return self.directory / f"{self.name}.db.tar.zst"

    @property
    def files(self) -> Path:
        """The database with the paths in every package."""
        return self.directory / f"{self.name}.files.tar.zst"

    def packages(self) -> tuple[LocalPackage, ...]:
        """Every package, by name. IntegrityError: the database is damaged."""
        database = self.database if self.database.is_file() else self.directory / f"{self.name}.db"  # repo-add's
        if not database.is_file():
            return ()
        records = read_database(database, self.name)
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
            signature = target.with_name(target.name + ".sig")
            if not (target.exists() and target.samefile(package)):
                temporary = target.with_name(f".{target.name}.part")
                copy_file(package, temporary)
                signature.unlink(missing_ok=True)  # it was over what lay here before
                rename_durable(temporary, target)
            given = package.with_name(package.name + ".sig")
            if given.is_file():
                _copy_unless_same(given, signature)
            kept = {entry.name: entry.record for entry in self.packages()}
            kept[record.name] = replace(record, signature=_embedded(signature))
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
            entry.path.with_name(entry.path.name + ".sig").unlink(missing_ok=True)

    def sign(self, key: str, gnupg_home: Path | None) -> tuple[str, ...]:
        """Sign every package and the databases; the fingerprints of the keys used. ExternalError: gpg could not."""
        from rastos.host import locked

        from .keys import sign_files

        with locked(self.directory / LOCK, "signing the repository", wait=30.0):
            entries = self.packages()
            missing = next((entry for entry in entries if not entry.path.is_file()), None)
            if not entries or missing:
                raise UserError(
                    f"the file of {missing.name} is gone" if missing else "there is nothing to sign",
                    on=missing.path if missing else self.directory,
                    next_step="add packages: rastos package repo add FILE",
                )
            sign_files([entry.path for entry in entries], key, gnupg_home)
            signatures = {entry.name: _embedded(entry.path.with_name(entry.path.name + ".sig")) for entry in entries}
            self.write(replace(entry.record, signature=signatures[entry.name]) for entry in entries)
            used = sign_files([self.database, self.files], key, gnupg_home)
            for path in (self.database, self.files):
                self._link(f"{path.name.removesuffix('.tar.zst')}.sig", f"{path.name}.sig")
        return used

    def write(self, records: Iterable[PackageRecord]) -> None:
        """Replace the databases by ones of these records; the caller holds the lock. Signatures over the old ones go."""
        from rastos.host import write_atomic

        kept = list(records)
        paths = self._paths(kept)
        for path, content in ((self.database, pack_database(kept)), (self.files, pack_database(kept, paths))):
            link = path.name.removesuffix(".tar.zst")
            for stale in (path.with_name(f"{link}.sig"), path.with_name(f"{path.name}.sig")):
                stale.unlink(missing_ok=True)
            write_atomic(path, content)
            self._link(link, path.name)

    def _link(self, name: str, target: str) -> None:
        link = self.directory / name
        if link.is_symlink() and os.readlink(link) == target:
            return
        temporary = link.with_name(f".{name}.part")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        os.rename(temporary, link)

    def _paths(self, records: Iterable[PackageRecord]) -> dict[str, tuple[str, ...]]:
        """The paths in every package: from the database of files where the package is unchanged, else from its file."""
        known: dict[tuple[str, str], tuple[str, ...]] = {}
        if self.files.is_file():
            try:
                known = read_paths(self.files)
            except IntegrityError:
                known = {}  # it is made anew
        found = {}
        for record in records:
            paths = known.get((record.name, record.sha256))
            if paths is None:
                path = self.directory / record.filename
                paths = package_paths(path) if "/" not in record.filename and path.is_file() else ()
            found[record.name] = paths
        return found


def pack_database(records: Iterable[PackageRecord], paths: Mapping[str, tuple[str, ...]] | None = None) -> bytes:
    """A sync database (tar in zstd), with `paths` of every package a files database; the same input, the same bytes."""
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for record in sorted(records, key=lambda item: item.name):
            folder = tarfile.TarInfo(f"{record.name}-{record.version}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            contents = {"desc": format_desc(record)}
            if paths is not None:
                contents["files"] = "%FILES%\n" + "".join(f"{path}\n" for path in paths[record.name])
            for name, content in contents.items():
                data = content.encode("utf-8", "surrogateescape")
                entry = tarfile.TarInfo(f"{folder.name}/{name}")
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
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


def package_paths(path: Path) -> tuple[str, ...]:
    """The paths a package file brings, as repo-add lists them: folders end in a slash, no `.PKGINFO` and its like."""
    from .database import open_decompressed

    try:
        with open_decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            names = {
                member.name.removeprefix("./") + ("/" if member.isdir() else "")
                for member in tar
                if not member.name.startswith(".") or member.name.startswith("./")
            }
    except (tarfile.TarError, OSError, EOFError) as error:
        raise IntegrityError(f"not a pacman package: {error}", on=path) from error
    return tuple(sorted(name for name in names if "\n" not in name and not name.startswith(".") and name != "/"))


def read_paths(files: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """What a database of files holds: (name, digest of the package file) → paths. IntegrityError: damaged."""
    from .database import open_decompressed
    from .records import parse_fields

    bodies: dict[str, dict[str, str]] = {}
    try:
        with open_decompressed(files) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                folder, _, kind = member.name.partition("/")
                content = tar.extractfile(member) if member.isreg() and kind in ("desc", "files") else None
                if content is not None:
                    bodies.setdefault(folder, {})[kind] = content.read().decode("utf-8", "surrogateescape")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise IntegrityError(f"a damaged database of files: {error}", on=files) from error
    found = {}
    for parts in bodies.values():
        fields = {**parse_fields(parts.get("desc", "")), **parse_fields(parts.get("files", ""))}
        name, digest = (fields.get(key, [""])[:1] or [""] for key in ("NAME", "SHA256SUM"))
        found[name[0], digest[0]] = tuple(fields.get("FILES", ()))
    return found


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


def _embedded(signature: Path) -> str:
    """A signature as a database holds it; empty where there is none."""
    if not signature.is_file() or signature.stat().st_size > _MAX_SIGNATURE:
        return ""
    return base64.b64encode(signature.read_bytes()).decode()


def _copy_unless_same(source: Path, target: Path) -> None:
    from rastos.host import copy_file

    if not (target.exists() and target.samefile(source)):
        copy_file(source, target)


__all__ = ["LocalPackage", "LocalRepository", "pack_database", "package_record", "read_database"]
