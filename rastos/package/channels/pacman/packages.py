"""Package files of a pacman channel: from caches and mirrors, verified, from the next mirror where one gives a bad one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import ExternalError, HostError, IntegrityError
from rastos.progress import Progress

from ...database import SyncIndex
from ...keys import LARGEST as LARGEST_KEYRING
from ...records import PackageRecord
from .. import Wanted, safe_filename
from ..signatures import LARGEST as LARGEST_SIGNATURE
from .keyring import NoKeyring

if TYPE_CHECKING:
    from rastos.host import Request, Transfer

    from .channel import PacmanChannel


def fetch_packages(channel: PacmanChannel, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
    """See `PacmanChannel.fetch`."""
    from rastos.host import sha256_file, working_directory

    into.mkdir(parents=True, exist_ok=True)
    index = SyncIndex.load(channel.database, channel.name)
    known = {item.name: index.record(item.name) for item in packages if item.name in index}
    # a locked file may be another one than the database names
    embedded = {item.name: known[item.name].signature for item in packages if _is_that(known.get(item.name), item)}
    missing = []
    for package in packages:
        path = into / safe_filename(package.filename, channel.name)
        if path.is_file() and package.sha256 and sha256_file(path) == package.sha256:
            continue
        path.unlink(missing_ok=True)
        missing.append(package)
    with working_directory(channel.cache, "packages-") as work:
        if missing:
            _download(channel, missing, into, progress)
        needed = [item for item in packages if not embedded.get(item.name)]
        if channel.settings.level.package != "never" and needed:
            _download_signatures(channel, needed)
        for package in packages:
            _verified(channel, package, embedded.get(package.name, ""), into, work, progress)


def _is_that(record: PackageRecord | None, wanted: Wanted) -> bool:
    return record is not None and record.filename == wanted.filename


def fetch_keyring_package(channel: PacmanChannel, record: PackageRecord, work: Path) -> tuple[Path, Path]:
    """The file of the keyring package and its signature, neither of them trusted yet."""
    from rastos.host import fetch, fetch_all

    name = safe_filename(record.filename, channel.name)
    package, signature = work / name, work / f"{name}.sig"
    for stale in (package, signature):
        stale.unlink(missing_ok=True)
    servers = channel.mirrors.ordered()
    fetch(_request(servers, name, package, record.sha256, record.download_size, limit=LARGEST_KEYRING))
    if record.signature:
        signature.write_bytes(_decoded(record.signature, record.name, channel.name))
    else:
        fetch_all([_request(servers, f"{name}.sig", signature, limit=LARGEST_SIGNATURE, optional=True)])
    if not signature.is_file():
        raise IntegrityError(f"{record.name} is not signed", on=channel.name, next_step="nothing was used")
    return package, signature


def _request(
    servers: Sequence[str],
    name: str,
    target: Path,
    sha256: str = "",
    size: int = 0,
    *,
    limit: int | None = None,
    optional: bool = False,
) -> Request:
    from rastos.host import Request

    first, *others = (f"{server}/{name}" for server in servers)
    return Request(first, target, sha256 or None, size or None, tuple(others), limit, optional)


def _download(channel: PacmanChannel, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
    from rastos.host import fetch_all

    total = float(sum(package.size for package in packages))
    servers = (*channel.settings.cache_servers, *channel.mirrors.ordered())
    requests = [_request(servers, item.filename, into / item.filename, item.sha256, item.size) for item in packages]
    with progress.step(f"{channel.name}: downloading packages", total=total, unit="B") as step:
        try:
            transfers = fetch_all(requests, step=step)
        except (HostError, ExternalError, IntegrityError) as error:
            if server := channel.mirrors.of(error.on):
                channel.mirrors.failed(server)
            raise
        for server, reason in _failures(channel, transfers).items():
            step.note(f"{server} failed: {reason}; it is asked last from now on", "warning")
        step.outcome = f"{len(packages)} packages"


def _failures(channel: PacmanChannel, transfers: Sequence[Transfer]) -> dict[str, str]:
    """Remember the servers that failed and why; nothing is said of caches."""
    failed: dict[str, str] = {}
    for transfer in transfers:
        for url, error in transfer.failures:
            server = channel.mirrors.of(url)
            if server and server not in failed:
                failed[server] = error.what
                channel.mirrors.failed(server)
    return failed


def _download_signatures(channel: PacmanChannel, packages: Sequence[Wanted]) -> None:
    """Fetch the signatures that aren't kept; whether none is enough is decided when the package is checked."""
    from rastos.host import fetch_all

    servers = (*channel.settings.cache_servers, *channel.mirrors.ordered())
    requests = []
    for package in packages:
        target = _kept_signature(channel, package)
        if not target.is_file():
            name = f"{package.filename}.sig"
            requests.append(_request(servers, name, target, limit=LARGEST_SIGNATURE, optional=True))
    fetch_all(requests)


def _kept_signature(channel: PacmanChannel, package: Wanted) -> Path:
    return channel.cache / "signatures" / f"{package.filename}.sig"


def _verified(
    channel: PacmanChannel, package: Wanted, embedded: str, into: Path, work: Path, progress: Progress
) -> None:
    """Check one package; a bad one is fetched again from every server in turn until one has it right."""
    from rastos.host import fetch, fetch_all

    path, kept = into / package.filename, _kept_signature(channel, package)
    try:
        _check(channel, package, embedded, path, kept, work)
        return
    except NoKeyring:
        raise
    except IntegrityError as error:
        first = error
    for server in channel.mirrors.ordered():
        kept.unlink(missing_ok=True)
        try:
            if not path.is_file():
                fetch(_request((server,), package.filename, path, package.sha256, package.size))
            if not embedded and channel.settings.level.package != "never":
                name = f"{package.filename}.sig"
                fetch_all([_request((server,), name, kept, limit=LARGEST_SIGNATURE, optional=True)])
            _check(channel, package, embedded, path, kept, work)
        except (HostError, ExternalError, IntegrityError):
            if len(channel.mirrors.servers) > 1:
                channel.mirrors.failed(server)
            continue
        progress.note(f"{first}; {server} has it right", "warning")
        return
    raise first


def _check(channel: PacmanChannel, package: Wanted, embedded: str, path: Path, kept: Path, work: Path) -> None:
    signature = kept
    if embedded:
        signature = work / f"{package.filename}.sig"
        signature.write_bytes(_decoded(embedded, package.name, channel.name))
    try:
        signed = channel.verify(path, signature, "package", work, f"{package.name} {package.version}")
        if signed is None and not package.sha256:
            raise IntegrityError(f"{package.name} has neither a digest nor a signature", on=channel.name)
    except IntegrityError:
        path.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)
        raise


def _decoded(embedded: str, name: str, channel: str) -> bytes:
    try:
        return base64.b64decode(embedded, validate=True)
    except ValueError as error:
        raise IntegrityError(f"the signature of {name} is damaged", on=channel) from error
