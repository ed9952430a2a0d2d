"""The debian channel: a whole Debian suite as a pacman repository, converted package by package when asked for."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rastos.errors import HostError, IntegrityError, UserError
from rastos.host import Request, copy_file, digest_of, fetch, fetch_all, locked, rename_durable, working_directory
from rastos.package.channels import SyncDatabase, Wanted
from rastos.progress import Progress

from . import configure, release
from .convert import convert
from .index import FORMAT, Record, essential_names, merge, read_records, records, write_index
from .sources import Source
from .versions import decode

_ARCHITECTURE = "amd64"
# seconds to wait for another rastos that fills the same cache
_WAIT = 900.0


class DebianChannel:
    """See `Channel`; `cache` is a directory of its own, `epoch` the time maintainer scripts see (SOURCE_DATE_EPOCH)."""

    def __init__(self, cache: Path, sources: Sequence[Source], *, name: str = "debian", epoch: int = 0) -> None:
        self.name = name
        self._cache = cache
        self._sources = tuple(sources)
        self._epoch = epoch
        self._index: Path | None = None

    @property
    def keyrings(self) -> tuple[Path, ...]:
        """The keyring files its suites are checked against."""
        return tuple(dict.fromkeys(source.keyring for source in self._sources))

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """Verify the index of every suite and bring the database up to date; unchanged indexes rebuild nothing.

        IntegrityError: signature, validity or digest is wrong; the database of before stays, nothing new is used.
        HostError: `offline` and nothing cached, or no network.
        """
        lock = locked(self._cache / "lock", "refresh the package index", wait=_WAIT)
        with progress.step(f"{self.name}: package index") as step, lock:
            releases = [self._release(source, offline) for source in self._sources]
            key = digest_of(*self._index_parts(releases))[:32]
            directory = self._cache / "index" / key
            self._index = directory
            database = directory / f"{self.name}.db"
            if database.is_file() and (directory / "records.sqlite").is_file():
                step.outcome = "unchanged"
                return SyncDatabase(self.name, database, "never")
            found: list[Record] = []
            for item in releases:
                for component in item.source.components:
                    step.note(f"{item.source.suite}/{component}", "log")
                    path = self._packages(item, component, offline)
                    found += records(release.read_index(path), item.source.uri)
            merged = merge(found)
            write_index(merged, database, directory / "records.sqlite")
            self._forget_old(key)
            step.outcome = f"{len(merged)} packages"
            return SyncDatabase(self.name, database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Download, verify and convert what is not converted yet; every file then lies in `into`."""
        known = self.records([package.name for package in packages])
        missing: list[tuple[Record, Path]] = []
        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            record = known.get(package.name)
            if record is None or record.filename != package.filename:
                raise UserError(
                    f"{package.name} {decode(package.version)} is not in the index any more",
                    on=self.name,
                    next_step="make the plan again: the archive has moved on",
                )
            converted = self._converted(record)
            if not converted.is_file():
                missing.append((record, converted))
        if missing:
            with locked(self._cache / "lock", "fetch packages", wait=_WAIT):
                self._make(missing, progress)
        for package in packages:
            _place(self._converted(known[package.name]), into / package.filename)

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run the maintainer scripts of what is in `root` and not configured yet (`configure.configure_packages`)."""
        configure.configure_packages(root, packages, progress, epoch=self._epoch)

    def before_removal(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run the scripts that have to run before libalpm removes these packages."""
        configure.before_removal(root, packages, progress, epoch=self._epoch)

    def display_version(self, version: str) -> str:
        """The version as Debian writes it."""
        return decode(version)

    @property
    def essential(self) -> tuple[str, ...]:
        """Packages every Debian system has without anything depending on them; needs a refreshed index."""
        return essential_names(self._store())

    def records(self, names: Sequence[str]) -> dict[str, Record]:
        """What the index says about these names; needs a refreshed index."""
        return read_records(self._store(), names)

    def _store(self) -> Path:
        if self._index is None:
            self.refresh(Progress(), offline=True)
        assert self._index is not None
        return self._index / "records.sqlite"

    def _release(self, source: Source, offline: bool) -> release.Release:
        cached = self._cache / "inrelease" / digest_of(source.uri, source.suite, str(source.keyring))[:32]
        if offline:
            if not cached.is_file():
                raise HostError(
                    "nothing of this archive is cached yet", on=source.dists, next_step="run again without --offline"
                )
            return release.verify(cached, source, now=0)
        cached.parent.mkdir(parents=True, exist_ok=True)
        with working_directory(self._cache, "inrelease-") as work:
            fetched = work / "InRelease"
            fetch(Request(f"{source.dists}/InRelease", fetched, None, None))
            checked = release.verify(fetched, source, now=time.time())
            if cached.is_file() and release.verify(cached, source, now=0).date > checked.date:
                raise IntegrityError(
                    "the index of the archive is older than the one seen before",
                    on=f"{source.dists}/InRelease",
                    next_step="use another mirror; this one is behind, or somebody replays an old index",
                )
            rename_durable(fetched, cached)
        return checked

    def _index_parts(self, releases: Sequence[release.Release]) -> list[str]:
        parts = [str(FORMAT)]
        for item in releases:
            wanted = tuple(f"{c}/binary-{_ARCHITECTURE}/Packages" for c in item.source.components)
            digests = sorted((n, d[0]) for n, d in item.digests.items() if n.startswith(wanted))
            parts.append(json.dumps([item.source.uri, item.source.suite, digests]))
        return parts

    def _packages(self, item: release.Release, component: str, offline: bool) -> Path:
        if offline and not (self._cache / "packages").is_dir():
            raise HostError("the package index is not cached", on=item.source.dists, next_step="run without --offline")
        return release.packages_file(item, component, _ARCHITECTURE, self._cache / "packages")

    def _converted(self, record: Record) -> Path:
        key = digest_of(str(FORMAT), json.dumps(record.__dict__, sort_keys=True))[:32]
        return self._cache / "converted" / key / record.filename

    def _make(self, missing: Sequence[tuple[Record, Path]], progress: Progress) -> None:
        debs = self._cache / "debs"
        with progress.step("downloading packages", total=float(sum(r.size for r, _ in missing)), unit="B") as step:
            requests = [Request(r.uri, debs / f"{r.sha256}.deb", r.sha256, r.size) for r, _ in missing]
            fetch_all([q for q in requests if not q.target.is_file()], parallel=8, step=step)
            step.outcome = f"{len(missing)} packages"
        with progress.step("converting packages", total=len(missing), unit="packages") as step:
            with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
                ordered = sorted(missing, key=lambda item: -item[0].size)
                running = {pool.submit(_convert_one, debs, *item): item[0].name for item in ordered}
                try:
                    for number, future in enumerate(as_completed(running), 1):
                        future.result()
                        step.advance(number, running[future])
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
            step.outcome = f"{len(missing)} packages"

    def _forget_old(self, key: str) -> None:
        for directory in (self._cache / "index").iterdir():
            if directory.name != key:
                shutil.rmtree(directory, ignore_errors=True)


def _convert_one(debs: Path, record: Record, target: Path) -> None:
    deb = debs / f"{record.sha256}.deb"
    # what a killed run left there
    shutil.rmtree(target.parent, ignore_errors=True)
    convert(deb, record, target.parent)
    deb.unlink(missing_ok=True)


def _place(source: Path, target: Path) -> None:
    if target.is_file() and os.path.samestat(target.stat(), source.stat()):
        return
    copy: Callable[[Path, Path], object] = copy_file
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        copy(source, temporary)
    os.rename(temporary, target)
