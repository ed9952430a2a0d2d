"""Packages of a lockfile: the very .deb that was locked, also when the index has moved on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rastos.errors import ExternalError, HostError
from rastos.host import Request, fetch
from rastos.package.lockfile import LockedPackage
from rastos.progress import Progress

from .index import Record
from .versions import decode


def locked_record(package: LockedPackage, uri: str) -> Record:
    """What the lockfile knows of a package as the index would have it; `uri` is where its .deb is."""
    record, file = package.record, package.file
    return Record(
        name=record.name,
        version=record.version,
        debian_version=decode(record.version),
        arch=record.arch,
        description=record.description,
        url=record.url,
        section="",
        essential=False,
        uri=uri,
        sha256=file.sha256,
        size=file.size,
        installed_size=record.installed_size,
        depends=record.depends,
        provides=record.provides,
        conflicts=record.conflicts,
        replaces=record.replaces,
    )


def fetch_locked(packages: Sequence[LockedPackage], archives: Sequence[str], into: Path, progress: Progress) -> None:
    """Put each .deb into a folder as `<sha256>.deb`, from the first archive that has it.

    One archive: nothing is done, the ordinary download does it. HostError: no archive has a file any more.
    """
    if len(archives) < 2:
        return
    missing = [package for package in packages if not (into / f"{package.file.sha256}.deb").is_file()]
    if not missing:
        return
    total = float(sum(package.file.size for package in missing))
    with progress.step("downloading locked packages", total=total, unit="B") as step:
        done = 0.0
        for package in missing:
            _fetch_one(package, archives, into)
            done += package.file.size
            step.advance(done, package.record.name)
        step.outcome = f"{len(missing)} packages"


def _fetch_one(package: LockedPackage, archives: Sequence[str], into: Path) -> None:
    file = package.file
    target = into / f"{file.sha256}.deb"
    failure: HostError | ExternalError | None = None
    for archive in archives:
        try:
            fetch(Request(f"{archive}/{file.location}", target, file.sha256, file.size))
            return
        except (HostError, ExternalError) as error:
            failure = error
    raise HostError(
        f"no archive has {package.record.name} {decode(package.record.version)} any more",
        on=file.location,
        next_step="lock again (`rastos package lock --update`), or declare a dated archive for the channel",
        detail=str(failure),
    )
