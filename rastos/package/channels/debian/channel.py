"""The debian channel: a whole Debian suite as a pacman repository, converted package by package when asked for."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from rastos.errors import HostError, IntegrityError, UserError
from rastos.host import Request, copy_file, digest_of, fetch, fetch_all, locked, rename_durable, working_directory
from rastos.package.channels import SyncDatabase, Wanted
from rastos.package.lockfile import LockedFile, LockedPackage
from rastos.progress import Progress, Step

from . import configure, keyring, release, takeover
from .convert import convert
from .index import CONVERTED, FORMAT, Record, allowed_names, essential_names, merge, read_records, records, write_index
from .locked import fetch_locked, locked_record
from .sources import DEFAULT_KEYRING, Source
from .status import installed
from .versions import decode

_ARCHITECTURE = "amd64"
# seconds to wait for another rastos that fills the same cache
_WAIT = 900.0


class DebianChannel:
    """See `Channel`; `cache` is a directory of its own, `epoch` the time maintainer scripts see (SOURCE_DATE_EPOCH).

    `home` are suites that the host's keyring verifies (its own apt sources), for keys of suites newer than that keyring.
    """

    def __init__(
        self,
        cache: Path,
        sources: Sequence[Source],
        *,
        name: str = "debian",
        epoch: int = 0,
        home: Sequence[Source] | None = None,
    ) -> None:
        self.name = name
        self._home = home
        self._cache = cache
        self._sources = tuple(sources)
        self._epoch = epoch
        self._index: Path | None = None
        # root → packages whose preinst has run there, until they are configured
        self._begun: dict[Path, set[str]] = {}
        self._taken: dict[str, Path] = {}

    @property
    def keyrings(self) -> tuple[Path, ...]:
        """The keyring files its suites are checked against."""
        return tuple(dict.fromkeys(source.keyring for source in self._sources))

    def declared(self) -> str:
        """This channel as a manifest declares it: one table for each archive and keyring (TOML)."""
        groups: dict[tuple[str, tuple[str, ...], Path], list[str]] = {}
        for source in self._sources:
            groups.setdefault((source.uri, source.components, source.keyring), []).append(source.suite)
        tables = []
        for number, ((uri, components, ring), suites) in enumerate(groups.items(), 1):
            lines = [f"[channels.{self.name}{number if number > 1 else ''}]", 'kind = "debian"']
            lines += [f"server = {json.dumps(uri)}", f"suites = {json.dumps(suites)}"]
            lines += [f"components = {json.dumps(list(components))}"]
            lines += [f"keyring = {json.dumps(str(ring))}"] if ring != DEFAULT_KEYRING else []
            tables.append("\n".join(lines))
        return "\n\n".join(tables)

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
            texts = self._texts(releases, offline, step)
            allowed = frozenset[str]().union(*(allowed_names(text) for text, _ in texts))
            merged = merge(record for text, uri in texts for record in records(text, uri, allowed))
            write_index(merged, database, directory / "records.sqlite")
            self._forget_old(key)
            step.outcome = f"{len(merged)} packages"
            return SyncDatabase(self.name, database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Download, verify and convert what is not converted yet; every file then lies in `into`."""
        known = self.records([package.name for package in packages if package.locked is None])
        missing: list[tuple[Record, Path]] = []
        into.mkdir(parents=True, exist_ok=True)
        archives = tuple(dict.fromkeys(source.uri for source in self._sources))
        old = {package.name: package.locked for package in packages if package.locked is not None}
        now = self._still_there(old)
        for name, item in old.items():
            known[name] = locked_record(item, now.get(name, f"{archives[0]}/{item.file.location}"))
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
                fetch_locked(
                    [old[record.name] for record, _ in missing if record.name in old and record.name not in now],
                    archives,
                    self._cache / "debs",
                    progress,
                )
                self._make(missing, progress)
        for package in packages:
            _place(self._converted(known[package.name]), into / package.filename)
        self.take_files({package.name: into / package.filename for package in packages})

    def _still_there(self, old: Mapping[str, LockedPackage]) -> dict[str, str]:
        """Addresses of those locked files that the cached index has still."""
        try:
            known = self.records(list(old)) if old else {}
        except HostError:
            return {}
        return {name: record.uri for name, record in known.items() if record.sha256 == old[name].file.sha256}

    def take_files(self, files: Mapping[str, Path]) -> None:
        """These package files are about to be installed, wherever they came from."""
        self._taken.update(files)

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """The .deb of each package; `location` counts from the archive's address."""
        found = {}
        for name, record in self.records(names).items():
            archive = next(s.uri for s in self._sources if record.uri.startswith(f"{s.uri}/"))
            found[name] = LockedFile(record.uri.removeprefix(f"{archive}/"), record.sha256, record.size)
        return found

    def before_unpacking(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run the scripts that have to run before libalpm unpacks these (fetched) packages; see `configure`."""
        files = self._files(packages)
        self._begun[root] = configure.before_unpacking(root, files, progress, epoch=self._epoch)

    def overwrites(self, packages: Sequence[str], root: Path | None = None) -> tuple[str, ...]:
        """Patterns of files that these (fetched) packages may overwrite: by `Replaces`, or by a diversion."""
        return takeover.allowed(self._files(packages), installed(root) if root else {}, root)

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run the maintainer scripts of what is in `root` and not configured yet (`configure.configure_packages`)."""
        configure.configure_packages(
            root,
            packages,
            progress,
            epoch=self._epoch,
            begun=self._begun.pop(root, set()),
            package_file=lambda name: self._files([name]).get(name),
        )

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

    def index_texts(self) -> list[tuple[str, str]]:
        """The verified Packages files as they are cached, each with the address of its archive."""
        return self._texts([self._release(source, offline=True) for source in self._sources], offline=True)

    def _texts(
        self, releases: Sequence[release.Release], offline: bool, step: Step | None = None
    ) -> list[tuple[str, str]]:
        texts = []
        for item in releases:
            for component in item.source.components:
                if step:
                    step.note(f"{item.source.suite}/{component}", "log")
                path = self._packages(item, component, offline)
                texts.append((release.read_index(path), item.source.uri))
        return texts

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
            return self._verified(cached, source, now=0, offline=True)
        cached.parent.mkdir(parents=True, exist_ok=True)
        with working_directory(self._cache, "inrelease-") as work:
            fetched = work / "InRelease"
            fetch(Request(f"{source.dists}/InRelease", fetched, None, None))
            checked = self._verified(fetched, source, now=time.time())
            if cached.is_file() and self._verified(cached, source, now=0).date > checked.date:
                raise IntegrityError(
                    "the index of the archive is older than the one seen before",
                    on=f"{source.dists}/InRelease",
                    next_step="use another mirror; this one is behind, or somebody replays an old index",
                )
            rename_durable(fetched, cached)
        return checked

    def _verified(self, path: Path, source: Source, *, now: float, offline: bool = False) -> release.Release:
        try:
            return release.verify(path, source, now=now)
        except release.UnknownKeyError as unknown:
            if not keyring.trusted(source, self._home):
                raise
            newer = keyring.renewed(self._cache, self._home, offline=offline, now=now)
            if newer is None:
                raise
            try:
                return release.verify(path, keyring.with_keyring(source, newer), now=now)
            except release.UnknownKeyError:
                raise unknown from None

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

    def _files(self, names: Sequence[str]) -> dict[str, Path]:
        """The converted packages that are at hand, by name, in this order."""
        known = self.records([name for name in names if name not in self._taken])
        files = {n: self._taken.get(n) or self._converted(known[n]) for n in names if n in self._taken or n in known}
        return {name: path for name, path in files.items() if path.is_file()}

    def _converted(self, record: Record) -> Path:
        # what the conversion makes use of: a lockfile's record has no more than that
        facts = {name: getattr(record, name) for name in CONVERTED}
        key = digest_of(str(FORMAT), record.sha256, json.dumps(facts, sort_keys=True))[:32]
        return self._cache / "converted" / key / record.filename

    def _make(self, missing: Sequence[tuple[Record, Path]], progress: Progress) -> None:
        """Download and convert; a package is converted as soon as it is there, while others still come."""
        debs = self._cache / "debs"
        requests = {Request(r.uri, debs / f"{r.sha256}.deb", r.sha256, r.size): (r, path) for r, path in missing}
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:

            def begin(request: Request) -> None:
                for future in list(running):
                    if future.done():
                        future.result()  # one that failed stops the downloads too
                record, path = requests[request]
                running[pool.submit(_convert_one, debs, record, path)] = record.name

            try:
                total = float(sum(request.size or 0 for request in requests))
                with progress.step("downloading packages", total=total, unit="B") as step:
                    there = [request for request in requests if request.target.is_file()]
                    for request in there:
                        begin(request)
                    fetch_all([r for r in requests if r not in there], parallel=8, step=step, then=begin)
                    step.outcome = f"{len(missing)} packages"
                with progress.step("converting packages", total=len(missing), unit="packages") as step:
                    for number, future in enumerate(as_completed(running), 1):
                        future.result()
                        step.advance(number, running[future])
                    step.outcome = f"{len(missing)} packages"
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

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
