"""A suite's signed index: InRelease verified with gpgv, then every Packages file by its digest."""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import Request, fetch, run, sha256_file

from .control import paragraph, without_signature
from .sources import Source

# gpgv's words (doc/DETAILS of GnuPG) for signatures that must not count
_REFUSED = {"BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG"}


@dataclass(frozen=True)
class Release:
    """What a verified InRelease says; `digests` maps a path below the suite to (sha256, size)."""

    source: Source
    date: int
    by_hash: bool
    digests: dict[str, tuple[str, int]]


class UnknownKeyError(IntegrityError):
    """The index is signed, by a key that the keyring does not have."""


def verify(inrelease: Path, source: Source, *, now: float) -> Release:
    """Check signature and validity of a fetched InRelease. IntegrityError: nothing of it may be used."""
    if not source.keyring.is_file():
        raise IntegrityError(
            "the keyring of the archive is missing",
            on=source.keyring,
            next_step="install debian-archive-keyring, or name a keyring in packages.toml",
        )
    argv: list[str | Path] = ["gpgv", "--status-fd", "1", "--keyring", source.keyring, inrelease]
    result = run(argv, check=False, what="verify the signature of the archive index")
    said = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("[GNUPG:] ")}
    # as apt: one good signature is enough, the archive signs with the keys of several releases
    if not {"GOODSIG", "VALIDSIG"} <= said or said & _REFUSED:
        unknown = "NO_PUBKEY" in said and not said & _REFUSED
        kind = UnknownKeyError if unknown else IntegrityError
        step = f"nothing of it was used; check the address and the keyring {source.keyring}"
        if unknown:
            step += ", or name one that has its key: keyring = … of this channel in packages.toml"
        raise kind(
            "the index of the archive is not signed by a key of the keyring",
            on=f"{source.dists}/InRelease",
            next_step=step,
            detail=result.stderr,
        )
    fields = paragraph(without_signature(inrelease.read_text(encoding="utf-8", errors="replace")))
    until = fields.get("Valid-Until")
    if until and parsedate_to_datetime(until).timestamp() < now:
        raise IntegrityError(
            f"the index of the archive expired on {until}",
            on=f"{source.dists}/InRelease",
            next_step="use a mirror that is up to date, or correct the clock of this machine",
        )
    if source.suite not in (fields.get("Suite"), fields.get("Codename")) and not _same_suite(source.suite, fields):
        raise IntegrityError(
            f"the index is for {fields.get('Suite')} ({fields.get('Codename')}), not for {source.suite}",
            on=f"{source.dists}/InRelease",
        )
    digests = {}
    for line in fields.get("SHA256", "").splitlines():
        words = line.split()
        if len(words) == 3:
            digests[words[2]] = (words[0], int(words[1]))
    date = int(parsedate_to_datetime(fields["Date"]).timestamp()) if "Date" in fields else 0
    return Release(source, date, fields.get("Acquire-By-Hash") == "yes", digests)


def _same_suite(suite: str, fields: dict[str, str]) -> bool:
    # bookworm/updates-like names of the archive differ from Suite and Codename by a prefix only
    return suite.split("/")[0].split("-")[0] == fields.get("Codename", "").split("-")[0] != ""


def packages_file(release: Release, component: str, architecture: str, cache: Path) -> Path:
    """The verified Packages file (compressed as offered) of a component in `cache`; fetched unless it is there."""
    source = release.source
    for ending in (".xz", ".gz", ""):
        name = f"{component}/binary-{architecture}/Packages{ending}"
        if name not in release.digests:
            continue
        digest, size = release.digests[name]
        target = cache / f"{digest[:32]}.Packages{ending}"
        if target.is_file() and sha256_file(target) == digest:
            return target
        address = f"{source.dists}/{name}"
        if release.by_hash and not source.uri.startswith("file:"):
            address = f"{source.dists}/{component}/binary-{architecture}/by-hash/SHA256/{digest}"
        fetch(Request(address, target, digest, size))
        return target
    raise IntegrityError(
        f"the archive has no index for {component}, {architecture}",
        on=source.dists,
        next_step="check suites and components in packages.toml",
    )


def read_index(path: Path) -> str:
    """The text of a Packages file."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        data = lzma.decompress(data)
    elif path.suffix == ".gz":
        data = zlib.decompress(data, 47)
    return data.decode("utf-8", "replace")
