"""The pacman channel: any pacman repository by address or folder, signatures checked before anything of it is used."""

from __future__ import annotations

import base64
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from rastos.errors import ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.progress import Progress

from ..database import SyncIndex
from ..lockfile import LockedFile
from ..manifest import ChannelSpec
from . import SyncDatabase, Wanted, safe_filename
from .signatures import signer, verify_detached

DEFAULT_KEYRING = Path("/usr/share/pacman/keyrings/archlinux.gpg")


class PacmanChannel:
    """See `Channel`. The repository's name is the channel's name; `$repo` and `$arch` in addresses are replaced."""

    def __init__(self, spec: ChannelSpec, cache: Path) -> None:
        self.name = spec.name
        self.spec = spec
        self.cache = cache
        self.servers = tuple(_address(server, spec.name) for server in spec.server)
        self.keyring = spec.keyring or DEFAULT_KEYRING

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """Fetch and verify the database. IntegrityError: bad signature, the old one stays. HostError: no network."""
        from rastos.host import locked, rename_durable, working_directory

        database = self.cache / f"{self.name}.db"
        if offline:
            if not database.is_file():
                raise HostError(
                    "this channel's database is not cached", on=self.name, next_step="run without --offline"
                )
            return SyncDatabase(self.name, database, "never")
        lock = locked(self.cache / "lock", f"refreshing {self.name}", wait=60.0)
        with (
            progress.step(f"{self.name}: package index") as step,
            lock,
            working_directory(self.cache, "index-") as work,
        ):
            fetched = self._from_servers(f"{self.name}.db", work / database.name)
            self._check(fetched, self.spec.siglevel[0], work, f"the database of '{self.name}'")
            index = SyncIndex.load(fetched, self.name)
            rename_durable(fetched, database)
            step.outcome = f"{len(index.names())} packages"
        return SyncDatabase(self.name, database, "never")

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Download what isn't there yet and verify every package: digest of the database, and signature.

        IntegrityError names the first package that is refused; refused files are deleted.
        """
        from rastos.host import sha256_file

        into.mkdir(parents=True, exist_ok=True)
        index = SyncIndex.load(self.cache / f"{self.name}.db", self.name)
        missing = []
        for package in packages:
            path = into / safe_filename(package.filename, self.name)
            if path.is_file() and package.sha256 and sha256_file(path) == package.sha256:
                continue
            path.unlink(missing_ok=True)
            missing.append(package)
        if missing:
            self._download(missing, into, progress)
        for package in packages:
            path = into / package.filename
            signature = index.record(package.name).signature if package.name in index else ""
            signed = self._check_package(path, package, signature, into)
            if not signed and not package.sha256:
                path.unlink()
                raise IntegrityError(f"{package.name} has neither a digest nor a signature", on=self.name)

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """The files as the database names them; signers from the signatures in it."""
        index = SyncIndex.load(self.cache / f"{self.name}.db", self.name)
        found = [index.record(name) for name in names if name in index]
        return {r.name: LockedFile(r.filename, r.sha256, r.download_size, signer(r.signature)) for r in found}

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Nothing: libalpm has run the packages' own scripts."""

    def display_version(self, version: str) -> str:
        """As it is."""
        return version

    def _download(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        from rastos.host import Request, fetch_all

        total = float(sum(package.size for package in packages))
        with progress.step(f"{self.name}: downloading packages", total=total, unit="B") as step:
            for number, server in enumerate(self.servers):
                wanted = [package for package in packages if not (into / package.filename).is_file()]
                requests = [
                    Request(f"{server}/{item.filename}", into / item.filename, item.sha256 or None, item.size or None)
                    for item in wanted
                ]
                try:
                    fetch_all(requests, step=step)
                    break
                except (HostError, ExternalError) as error:
                    if number + 1 == len(self.servers):
                        raise
                    step.note(f"{error}; trying the next server", "warning")
            step.outcome = f"{len(packages)} packages"

    def _from_servers(self, name: str, target: Path) -> Path:
        from rastos.host import Request, fetch

        failure: RastosError | None = None
        for server in self.servers:
            try:
                fetch(Request(f"{server}/{name}", target, None, None))
            except (HostError, ExternalError) as error:
                failure = error
                continue
            if self.spec.siglevel[0] != "never":
                self._fetch_signature(name, target.with_name(f"{target.name}.sig"), (server,))
            return target
        assert failure is not None
        raise failure

    def _check_package(self, path: Path, package: Wanted, embedded: str, into: Path) -> bool:
        level = self.spec.siglevel[1]
        if level == "never":
            return False
        signature = path.with_name(f"{path.name}.sig")
        signature.unlink(missing_ok=True)
        if embedded:
            try:
                signature.write_bytes(base64.b64decode(embedded, validate=True))
            except ValueError as error:
                raise IntegrityError(f"the signature of {package.name} is damaged", on=self.name) from error
        else:
            self._fetch_signature(package.filename, signature, self.servers)
        try:
            return self._check(path, level, into, f"{package.name} {package.version}")
        except IntegrityError:
            path.unlink(missing_ok=True)
            raise
        finally:
            signature.unlink(missing_ok=True)

    def _fetch_signature(self, name: str, signature: Path, servers: Sequence[str]) -> None:
        """Fetch it where there is one; whether none is enough is decided when the file is checked."""
        from rastos.host import Request, fetch

        for server in servers:
            url = f"{server}/{name}.sig"
            if url.startswith("file://") and not Path(unquote(url.removeprefix("file://"))).exists():
                continue
            try:
                fetch(Request(url, signature, None, None))
                return
            except (HostError, ExternalError):
                continue

    def _check(self, path: Path, level: str, work: Path, what: str) -> bool:
        """Whether the file carries a good signature; one that is there has to be good. IntegrityError otherwise."""
        if level == "never":
            return False
        signature = path.with_name(f"{path.name}.sig")
        if not signature.is_file():
            if level == "optional":
                return False
            raise IntegrityError(
                f"{what} is not signed, but the channel requires it",
                on=self.name,
                next_step="nothing was installed; ask the repository, or lower siglevel in packages.toml",
            )
        if not self.keyring.is_file():
            raise HostError(
                f"there is no keyring to check {what}",
                on=self.keyring,
                next_step="install the distribution's keyring package, or name a keyring for the channel",
            )
        verify_detached(path, signature, self.keyring, work, what)
        return True


def host_channels(mirrorlist: Path, cache: Path) -> list[PacmanChannel]:
    """Arch's core and extra from the host's mirrorlist. UserError: it names no server."""
    servers = tuple(re.findall(r"^\s*Server\s*=\s*(\S+)", mirrorlist.read_text(encoding="utf-8"), re.MULTILINE))
    if not servers:
        raise UserError("the mirror list names no server", on=mirrorlist, next_step="uncomment one")
    specs = [ChannelSpec(name, "pacman", servers, priority=at) for at, name in enumerate(("core", "extra"))]
    return [PacmanChannel(spec, cache / spec.name) for spec in specs]


def _address(server: str, repo: str) -> str:
    address = server.replace("$repo", repo).replace("$arch", platform.machine()).rstrip("/")
    return Path(address).absolute().as_uri() if "://" not in address else address
