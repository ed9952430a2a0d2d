"""A pacman repository as a channel: its database, its keyring, its package files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.progress import Progress

from ...database import SyncIndex
from ...lockfile import LockedFile
from ...manifest import ChannelSpec
from .. import SyncDatabase, Wanted
from ..signatures import LARGEST as LARGEST_SIGNATURE
from ..signatures import Signature, signer, verify_detached
from .configuration import read_configuration
from .database import LARGEST, Seen, build_dates, read_seen, refuse_older, write_seen
from .keyring import ChannelKeyring, NoKeyring
from .mirrors import Mirrors
from .packages import fetch_keyring_package, fetch_packages
from .settings import Settings, settings_of, settings_of_section

if TYPE_CHECKING:
    from rastos.host import Validators


class PacmanChannel:
    """See `Channel`. The repository's name is the channel's name.

    `keys`: where its keyring is kept (default: in its cache); `allow_older`: take a database from before the one seen.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        cache: Path,
        *,
        settings: Settings | None = None,
        keys: Path | None = None,
        allow_older: bool = False,
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.cache = cache
        self.allow_older = allow_older
        self.settings = settings or settings_of(spec)
        self.mirrors = Mirrors(self.settings.servers, cache / "mirrors.json")
        self.keyring = ChannelKeyring(
            spec.name, keys or cache / "keys", self.settings.keyring, spec.trusted, self.settings.gnupg
        )

    @property
    def database(self) -> Path:
        """The verified database; not there before the first refresh."""
        return self.cache / f"{self.name}.db"

    def allows(self, what: str) -> bool:
        """Whether its `Usage` has this word: sync, search, install, upgrade."""
        return self.settings.allows(what)

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """Fetch the database if it changed and verify it. IntegrityError: a bad signature or an old database is offered,
        the one in use stays. HostError: no network."""
        from rastos.host import locked, working_directory

        if offline or not self.allows("sync"):
            if not self.database.is_file():
                advice = "run without --offline" if offline else "add Sync to its usage"
                raise HostError("this channel's database is not cached", on=self.name, next_step=advice)
            return SyncDatabase(self.name, self.database, "never")
        for warning in self.settings.warnings:
            progress.note(warning, "warning")
        lock = locked(self.cache / "lock", f"refreshing {self.name}", wait=60.0)
        with (
            progress.step(f"{self.name}: package index") as step,
            lock,
            working_directory(self.cache, "index-") as work,
        ):
            seen = read_seen(self._record)
            whole = seen if seen and self._is_whole(seen, work) else None
            failures: list[RastosError] = []
            for server in self.mirrors.ordered():
                try:
                    found = self._from_server(server, seen, whole, work, progress)
                except NoKeyring:
                    raise
                except (HostError, ExternalError, IntegrityError) as error:
                    if not error.on.startswith(server):  # a temporary file of ours says nothing
                        error.on = f"{server}/{self.name}.db" + (f": {error.on}" if str(work) not in error.on else "")
                    failures.append(error)
                    self.mirrors.failed(server)
                    if len(failures) < len(self.mirrors.servers):
                        step.note(f"{error}; trying the next server", "warning")
                    continue
                self.mirrors.worked(server)
                step.outcome = f"{found.count} packages" + (", unchanged" if found is whole else "")
                break
            else:
                raise _worst(failures)
        return SyncDatabase(self.name, self.database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Download what isn't there yet and verify every package: digest of the database, and signature.

        IntegrityError names the first package that no server has right; refused files are deleted.
        """
        fetch_packages(self, packages, into, progress)

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """The files as the database names them; signers from the signatures in it."""
        index = SyncIndex.load(self.database, self.name)
        found = [index.record(name) for name in names if name in index]
        return {r.name: LockedFile(r.filename, r.sha256, r.download_size, signer(r.signature)) for r in found}

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Nothing: libalpm has run the packages' own scripts."""

    def display_version(self, version: str) -> str:
        """As it is."""
        return version

    def refresh_keyring(self, progress: Progress) -> bool:
        """Bring the keyring up to date; whether it changed. UserError: the channel names no keyring package."""
        if not self.spec.keyring_package:
            raise UserError(
                "this channel names no keyring package",
                on=f"[channels.{self.name}]",
                next_step='set keyring_package = "archlinux-keyring" and trusted = ["fingerprint", …]',
            )
        from rastos.host import working_directory

        before = self.keyring.accepted
        self.refresh(progress)
        if self.keyring.accepted == before:
            with working_directory(self.cache, "index-") as work:
                self._renew_keyring(SyncIndex.load(self.database, self.name), work, progress)
        return self.keyring.accepted != before

    def verify(self, path: Path, signature: Path, kind: str, work: Path, what: str) -> Signature | None:
        """The signature of a `database` or a `package`; None where none is needed and none is there.

        IntegrityError: there is none or it is bad. NoKeyring: nothing to check it with.
        """
        level = getattr(self.settings.level, kind)
        if level == "never":
            return None
        if not signature.is_file():
            if level == "optional":
                return None
            raise IntegrityError(
                f"{what} is not signed, but the channel requires it",
                on=self.name,
                next_step="nothing was installed; ask the repository, or lower siglevel in packages.toml",
            )
        ring = self.keyring.ring(every=getattr(self.settings.level, f"{kind}_trust_all"))
        try:
            return verify_detached(path, signature, ring, work, what)[0]
        except IntegrityError as error:
            raise self._explained(error, what) from error

    def _explained(self, error: IntegrityError, what: str) -> IntegrityError:
        """The same error, saying what is known of a key that isn't trusted."""
        number = error.on.partition(", key ")[2][:16]
        if not number:
            return error
        for item in self.keyring.keys():
            if item.key.fingerprint.endswith(number) and not item.trusted:
                state = "was revoked" if item.why == "revoked" else f"only {item.why} certified, expected {item.needed}"
                return IntegrityError(
                    f"{what}: it is signed by {item.key.name}, a key that {state}",
                    on=f"{self.name}, key {item.key.fingerprint}",
                    next_step="nothing was installed; see `rastos package keys list`",
                )
        error.next_step = "nothing was installed; see `rastos package keys list`, or `keys refresh` for new keys"
        return error

    @property
    def _record(self) -> Path:
        return self.database.with_name(f"{self.database.name}.json")

    @property
    def _signature(self) -> Path:
        return self.database.with_name(f"{self.database.name}.sig")

    def _is_whole(self, seen: Seen, work: Path) -> bool:
        """Whether the cached database is the recorded one and still good under today's level and keyring."""
        from rastos.host import sha256_file

        if not self.database.is_file() or sha256_file(self.database) != seen.sha256:
            return False
        if self.spec.keyring_package and self.keyring.accepted is None:
            return False
        try:
            self.verify(self.database, self._signature, "database", work, "the cached database")
        except (IntegrityError, NoKeyring):
            return False
        return True

    def _from_server(self, server: str, seen: Seen | None, whole: Seen | None, work: Path, progress: Progress) -> Seen:
        """The database of one server in its place; `whole` itself where that one is still current."""
        from rastos.host import Request, Validators, fetch_all, fetch_if_changed, rename_durable, sha256_file

        url, fetched = f"{server}/{self.name}.db", work / self.database.name
        signature = fetched.with_name(f"{fetched.name}.sig")
        for stale in (fetched, signature):
            stale.unlink(missing_ok=True)
        known = None
        if whole:
            known = Validators(whole.etag if whole.server == server else "", whole.modified, whole.strong)
        answer = fetch_if_changed(Request(url, fetched, limit=LARGEST), known, patient=len(self.mirrors.servers) == 1)
        if answer is None:
            assert whole is not None
            return whole
        if self.settings.level.database != "never":
            fetch_all([Request(f"{url}.sig", signature, limit=LARGEST_SIGNATURE, optional=True)])
        index = SyncIndex.load(fetched, self.name)
        if self.spec.keyring_package:
            self._keyring_for(index, work, progress)
        signed = self.verify(fetched, signature, "database", work, f"the database of '{self.name}'")
        dates = build_dates(index)
        new = _seen(server, answer, signed, max(dates.values(), default=0), len(index.names()), sha256_file(fetched))
        if seen and not self.allow_older and new.sha256 != seen.sha256:
            checked = self.settings.level.database != "never"
            refuse_older(seen, new, self.database, dates, url, self._record, signatures=checked)
        rename_durable(fetched, self.database)
        if signature.is_file():
            rename_durable(signature, self._signature)
        else:
            self._signature.unlink(missing_ok=True)
        write_seen(self._record, new)
        return new

    def _keyring_for(self, index: SyncIndex, work: Path, progress: Progress) -> None:
        """The first keyring, or a newer one; where that can't be had, the keyring in use goes on."""
        try:
            self._renew_keyring(index, work, progress)
        except (HostError, ExternalError, IntegrityError) as error:
            if self.keyring.accepted is None:
                raise
            progress.note(f"the keyring stays as it is: {error}", "warning")

    def _renew_keyring(self, index: SyncIndex, work: Path, progress: Progress) -> None:
        name, current = self.spec.keyring_package, self.keyring.accepted
        if name not in index:
            if current is None:
                raise IntegrityError(
                    f"the channel has no package {name}", on=self.name, next_step="correct keyring_package"
                )
            return
        record = index.record(name)
        if current and (record.version == current.version or record.builddate < current.builddate):
            return
        with progress.step(f"{self.name}: keyring") as step:
            package, signature = fetch_keyring_package(self, record, work)
            self.keyring.accept(package, signature, name)
            accepted = self.keyring.accepted
            assert accepted is not None
            step.outcome = f"{accepted.package} {accepted.version}, signed by {accepted.signer}"


def host_channels(configuration: Path, cache: Path) -> list[PacmanChannel]:
    """Every repository of the host's pacman.conf, in its order. UserError: one names no server, or a line is wrong."""
    found = read_configuration(configuration)
    channels = []
    for at, section in enumerate(found.repositories):
        settings = settings_of_section(section, found)
        if at == 0:
            settings = replace(settings, warnings=found.warnings)
        spec = ChannelSpec(section.name, "pacman", settings.servers, priority=at)
        channels.append(PacmanChannel(spec, cache / spec.name, settings=settings))
    return channels


def _seen(server: str, answer: Validators, signed: Signature | None, newest: int, count: int, sha256: str) -> Seen:
    made = signed.made if signed else 0
    return Seen(sha256, server, answer.etag, answer.modified, answer.strong, made, newest, count)


def _worst(failures: Sequence[RastosError]) -> RastosError:
    """A refusal weighs more than a server that isn't there; all are told."""
    worst = next((error for error in failures if isinstance(error, IntegrityError)), failures[-1])
    if len(failures) > 1:
        worst.detail = "\n".join(str(error) for error in failures)
    return worst
