"""Released kernels as kernel.org publishes them: "kernel.org:6.12.30", or the address of a tarball.

    <mirror>/v6.x/linux-6.12.30.tar.xz     the tarball
    <mirror>/v6.x/linux-6.12.30.tar.sign   the signature over the tar inside, by a key of the kernel's releases
    <mirror>/v6.x/sha256sums.asc           digests; here only a hint that lets a broken download go on
    <mirror>/releases.json                 what is released (kernel.org itself: www.kernel.org/releases.json)

Nothing is unpacked without a good signature by a key that was trusted here, or the digest given in the address
(`#sha256=…`). The digest of the verified tarball is remembered: the same name never gives other content unseen.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host import Request, digest_of, fetch, read_json, sha256_file, working_directory, write_json
from rastos.kernel.sources.signed import PLAIN, unpack_signed
from rastos.kernel.sources.source import MIRROR, Source, Wanted
from rastos.kernel.sources.unpack import unpack_tarball
from rastos.package import export_keys, read_keys
from rastos.progress import Progress, Step

RELEASES = "https://www.kernel.org/releases.json"
LARGEST = 400_000_000  # bytes of a tarball; 6.12's has 150 MB
SMALL = 1 << 20  # bytes of a signature, a list of digests or of releases
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_SUM = re.compile(r"(?m)^([0-9a-f]{64})  (\S+)$")
_HOW = "`rastos kernel trust FILE` with the keys from https://kernel.org/signature.html, or --keyring FILE"


@dataclass(frozen=True, slots=True)
class Release:
    """One row of releases.json: `moniker` is mainline, stable, longterm…; `released` a date."""

    version: str
    moniker: str
    released: str
    source: str


def find(wanted: Wanted) -> Source | None:
    """The release or tarball; the digest is known once it was fetched and verified here."""
    text = wanted.text or ""
    if text.startswith("kernel.org:"):
        version = text.removeprefix("kernel.org:")
        if not _VERSION.fullmatch(version):
            raise UserError(
                f"'{version}' is no released version",
                next_step="give one like kernel.org:6.12.30 (see `rastos kernel sources --remote`); others come from git",
            )
        address = f"{wanted.mirror}/v{version.partition('.')[0]}.x/linux-{version.removesuffix('.0')}.tar.xz"
        name, sha256, title = f"kernel.org-{version}", "", f"linux-{version}"
    elif text.startswith(("https://", "http://", "file://")):
        address, _, fragment = text.partition("#")
        kind, _, sha256 = fragment.partition("=")
        if fragment and not (kind == "sha256" and re.fullmatch(r"[0-9a-f]{64}", sha256)):
            raise UserError(f"'#{fragment}' is no digest", next_step="write #sha256= and 64 hex digits")
        title = address.rpartition("/")[2]
        if not PLAIN.search(title):
            raise UserError(
                f"'{address}' is no address of a tarball",
                next_step="give one that ends in .tar.xz or .tar.gz; for a repository write git:URL#REF",
            )
        name, version = f"url-{digest_of(address)[:16]}", ""
    else:
        return None
    tree = wanted.cache / "sources" / name / "tree"
    digest = sha256 or _remembered(wanted.cache).get(title if version else address, "")
    return Source(
        *("kernel.org", name, title, digest, version, tree),
        address=address,
        sha256=sha256,
        keyring=wanted.keyring,
    )


def open(source: Source, cache: Path, progress: Progress) -> Source:
    """Fetch tarball and signature, verify, unpack. Raises IntegrityError for a bad one, HostError without a key."""
    ring = source.keyring
    if not source.sha256 and (ring is None or not ring.is_file()):
        raise HostError(
            "no key is trusted here to verify the kernel's signature with, and nothing unverified is used",
            on=source.address,
            next_step=_HOW,
        )
    folder = cache / "downloads"
    tarball = folder / f"{source.id}-{source.address.rpartition('/')[2]}"
    signer = ""
    with progress.step(f"Fetch {source.title}", unit="bytes") as step:
        digest = _fetch(source, tarball, cache, step)
        step.outcome = f"{tarball.stat().st_size / 1e6:,.0f} MB"
    with progress.step(f"Verify and unpack {source.title}") as step:
        try:
            if source.sha256:
                size = unpack_tarball(tarball, source.tree, cache / "work")
            else:
                assert ring is not None
                with working_directory(cache / "work", "sign-") as work:
                    signature = _signature(source, work)
                    size, signer = unpack_signed(tarball, signature, ring, source.tree, cache / "work")
        except IntegrityError:
            tarball.unlink()  # not to go on from it the next time
            raise
        step.outcome = f"{f'signed by {signer}' if signer else 'digest as given'}, {size / 1e9:.1f} GB"
    _remember(source, digest, cache)
    tarball.unlink()
    return replace(source, digest=digest)


def releases(mirror: str = MIRROR, *, work: Path) -> tuple[Release, ...]:
    """What the mirror says is released, as in its releases.json; HostError where it doesn't answer."""
    address = RELEASES if mirror == MIRROR else f"{mirror.rstrip('/')}/releases.json"
    with working_directory(work, "releases-") as folder:
        path = fetch(Request(address, folder / "releases.json", limit=SMALL))
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["releases"]
            found = tuple(
                Release(
                    str(row["version"]),
                    str(row["moniker"]),
                    str((row.get("released") or {}).get("isodate", "")),
                    str(row.get("source") or ""),
                )
                for row in rows
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                "the list of releases is damaged", on=address, next_step="try another mirror: --mirror URL"
            ) from error
    # its words go to a terminal
    return tuple(item for item in found if re.fullmatch(r"[\w.+-]+", item.version))


def trust_keys(file: Path, keyring: Path) -> tuple[tuple[str, str], ...]:
    """Add a file's public keys to the keyring that kernel.org's signatures are held to; (fingerprint, name) of each.

    Raises IntegrityError where the file is no OpenPGP keyring.
    """
    if not file.is_file():
        raise UserError("there is no such keyring", on=file, next_step="give a file of OpenPGP keys")
    keys = read_keys([file])
    if not keys:
        raise UserError("the file holds no public key", on=file, next_step="export one: gpg --export FINGERPRINT")
    keyring.parent.mkdir(parents=True, exist_ok=True)
    files = [keyring, file] if keyring.is_file() else [file]
    export_keys(files, [key.fingerprint for key in read_keys(files)], keyring)
    return tuple((key.fingerprint, key.name) for key in keys)


def _fetch(source: Source, tarball: Path, cache: Path, step: Step) -> str:
    """Bring the tarball, going on where an earlier download broke off; its digest."""
    if tarball.is_file():  # complete, but the run that fetched it ended before it was verified
        return sha256_file(tarball)
    expected = source.sha256 or _remembered(cache).get(_name(source), "") or _listed(source, cache)
    try:
        fetch(Request(source.address, tarball, sha256=expected or None, limit=LARGEST, resumable=True), step=step)
    except ExternalError as error:
        if error.status in (404, 410):
            raise UserError(
                "the mirror has no such kernel",
                on=source.address,
                next_step="see `rastos kernel sources --remote`, or name another mirror: --mirror URL",
            ) from error
        raise
    return sha256_file(tarball)


def _listed(source: Source, cache: Path) -> str:
    """The digest in sha256sums.asc, empty where there is none. Only a hint: what counts is the signature."""
    base, _, name = source.address.rpartition("/")
    with working_directory(cache / "work", "sums-") as folder:
        try:
            path = fetch(Request(f"{base}/sha256sums.asc", folder / "sums", limit=8 * SMALL))
        except (ExternalError, HostError, IntegrityError):
            return ""
        rows: list[tuple[str, str]] = _SUM.findall(path.read_text(errors="replace"))
        return next((digest for digest, file in rows if file == name), "")


def _signature(source: Source, folder: Path) -> Path:
    address = f"{PLAIN.sub('', source.address)}.tar.sign"
    try:
        return fetch(Request(address, folder / "tar.sign", limit=SMALL))
    except ExternalError as error:
        raise IntegrityError(
            "there is no signature beside the tarball, and nothing unverified is used",
            on=address,
            next_step="name another mirror (--mirror URL), or give the digest you trust: URL#sha256=HEX",
        ) from error


def _name(source: Source) -> str:
    return source.title if source.version else source.address


def _remembered(cache: Path) -> dict[str, str]:
    path = cache / "verified-tarballs.json"
    return dict(read_json(path)) if path.is_file() else {}


def _remember(source: Source, digest: str, cache: Path) -> None:
    write_json(cache / "verified-tarballs.json", {**_remembered(cache), _name(source): digest})
