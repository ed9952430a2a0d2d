"""The keys a channel trusts: a keyring package that proves itself, a keyring file, and keys the user added.

A keyring package is taken when its signature verifies against the keyring it brings, and its signer is one of the master
keys the manifest names or certified by enough of them (pacman-key's web of trust: three). Without masters in the
manifest it has to be signed by a key that is trusted already. Everything lies in one folder of the channel:

    package-<digest>.gpg, package.json   the accepted keyring, its masters, what it revokes
    imported.gpg, own.json               keys the user added or trusts although nobody certified them
    ring.gpg, all.gpg, ring.json         what follows from these, for gpgv
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import HostError, IntegrityError, UserError

from ...keys import FINGERPRINT, Key, export_keys, fingerprint, read_keys, valid_keys
from ..signatures import verify_detached
from .keyring_package import choose, fingerprints_in, unpack

ENOUGH = 3  # masters that have to certify a key, or all of them where there are fewer


class NoKeyring(HostError):
    """There is nothing to check signatures with; no mirror is to blame."""


@dataclass(frozen=True)
class TrustedKey:
    """A key of a channel, and whether what it signs is accepted. `needed`: certifications it takes."""

    key: Key
    trusted: bool
    needed: int
    why: str


@dataclass(frozen=True)
class _Accepted:
    """package.json: the keyring package in use."""

    package: str
    version: str
    builddate: int
    file: str
    signer: str
    masters: tuple[str, ...]
    revoked: tuple[str, ...]


class ChannelKeyring:
    """The keys of one channel. `file`: a keyring on this machine; `gnupg`: pacman-key's folder there."""

    def __init__(
        self, channel: str, folder: Path, file: Path, masters: tuple[str, ...] = (), gnupg: Path | None = None
    ) -> None:
        self.channel = channel
        self.folder = folder
        self.file = file
        self.masters = tuple(fingerprint(item) for item in masters)
        self.gnupg = (
            gnupg if gnupg and any((gnupg / name).is_file() for name in ("pubring.gpg", "pubring.kbx")) else None
        )

    @property
    def accepted(self) -> _Accepted | None:
        """The keyring package in use."""
        found = _json(self.folder / "package.json")
        if not found or not (self.folder / str(found.get("file"))).is_file():
            return None
        return _Accepted(**{**found, "masters": tuple(found["masters"]), "revoked": tuple(found["revoked"])})

    def ring(self, *, every: bool = False) -> Path:
        """A keyring for gpgv: the trusted keys; `every` one that isn't revoked, for TrustAll. NoKeyring: none."""
        accepted, own = self.accepted, self._own()
        if accepted is None and not own and not self.masters and self.gnupg is None and self.file.is_file():
            if every or not self.file.with_name(f"{self.file.stem}-trusted").is_file():
                return self.file
        self._derive()
        return self.folder / ("all.gpg" if every else "ring.gpg")

    def keys(self) -> tuple[TrustedKey, ...]:
        """Every key, trusted or not, by name. NoKeyring: there is no keyring."""
        found = [self._judge(key, *facts) for key, facts in self._read()]
        return tuple(sorted(found, key=lambda item: (not item.key.master, item.key.name, item.key.fingerprint)))

    def add(self, file: Path, chosen: str) -> Key:
        """Add one key of a file to the channel's own keys and trust it. UserError: it isn't in there, or is revoked."""
        from rastos.host import locked

        wanted = fingerprint(chosen)
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self._usable(wanted, {item.fingerprint: item for item in keys_of(file)}, str(file))
        with locked(self.folder / "lock", f"importing a key for {self.channel}", wait=30.0):
            imported = self.folder / "imported.gpg"
            own = self._own()
            files = [file, *([imported] if imported.is_file() else [])]
            held = [item.fingerprint for item in read_keys(files[1:])] if len(files) > 1 else []
            export_keys(files, [wanted, *held], imported)
            _store(self.folder / "own.json", {"trusted": sorted({*own, wanted})})
        return key

    def trust(self, chosen: str) -> Key:
        """Trust a key of the keyring although too few masters certified it. UserError: unknown or revoked."""
        from rastos.host import locked

        wanted = fingerprint(chosen)
        key = self._usable(wanted, {item.key.fingerprint: item.key for item in self.keys()}, self.channel)
        with locked(self.folder / "lock", f"trusting a key for {self.channel}", wait=30.0):
            _store(self.folder / "own.json", {"trusted": sorted({*self._own(), wanted})})
        return key

    def accept(self, package: Path, signature: Path, name: str) -> bool:
        """Take the keyring of a package file if it proves itself; False: it is the one in use.

        IntegrityError: it doesn't, or it is older than the one in use. UserError: nothing to judge it by.
        """
        from rastos.host import locked

        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", f"renewing the keyring of {self.channel}", wait=60.0):
            return self._accept(package, signature, name)

    def _accept(self, package: Path, signature: Path, name: str) -> bool:
        from rastos.host import sha256_file, working_directory, write_atomic

        current = self.accepted
        found = unpack(package, name)
        ring, named = choose(found, name, package)
        if current and (found.builddate, found.version) == (current.builddate, current.version):
            return False
        if current and found.builddate <= current.builddate:
            raise IntegrityError(
                f"{name} {found.version} is older than {current.version}, which is in use",
                on=self.channel,
                next_step="nothing was changed; the server repeats an old keyring: use another one",
            )
        revoked = found.revoked | set(current.revoked if current else ())
        with working_directory(self.folder, "candidate-") as work:
            candidate = work / "candidate.gpg"
            candidate.write_bytes(ring)
            signer = self._proved(package, signature, candidate, revoked, current, work, name)
            digest = sha256_file(candidate)[:16]
            write_atomic(self.folder / f"package-{digest}.gpg", ring)
        facts = _Accepted(
            name, found.version, found.builddate, f"package-{digest}.gpg", signer, named, tuple(sorted(revoked))
        )
        _store(self.folder / "package.json", asdict(facts))
        for old in self.folder.glob("package-*.gpg"):
            if old.name != facts.file:
                old.unlink()
        return True

    def _proved(
        self,
        package: Path,
        signature: Path,
        candidate: Path,
        revoked: set[str],
        current: _Accepted | None,
        work: Path,
        name: str,
    ) -> str:
        """The fingerprint of the signer that makes this keyring trustworthy."""
        if not self.masters:
            try:
                ring = self.ring()
            except NoKeyring:
                raise UserError(
                    f"nothing says which keys of {name} to trust",
                    on=f"[channels.{self.channel}]",
                    next_step='name its master keys: trusted = ["40 hex digits", …]',
                ) from None
            return verify_detached(package, signature, ring, work, name)[0].fingerprint
        signers = [item.fingerprint for item in verify_detached(package, signature, candidate, work, name)]
        # revocations that the keyring in use knows hold even if the new one lacks them
        files = [candidate, *([self.folder / current.file] if current else [])]
        keys = {key.fingerprint: key for key in read_keys(files, self.masters) if key.fingerprint not in revoked}
        living = [key for key in keys.values() if key.master and key.alive]
        needed = min(ENOUGH, len(self.masters))
        if len(living) < needed:
            raise IntegrityError(
                f"{name} holds {len(living)} of the {len(self.masters)} master keys that the manifest trusts, "
                f"expected {needed} at least",
                on=self.channel,
                next_step="nothing was used; compare the fingerprints in packages.toml with the distribution's",
            )
        for signer in signers:
            key = keys.get(signer)
            if key and key.alive and (key.master or len(key.certified_by) >= needed):
                return signer
        key = keys.get(signers[0])
        count = len(key.certified_by) if key else 0
        state = "was revoked" if key is None or key.revoked else f"is certified by {count} trusted master keys"
        raise IntegrityError(
            f"{name} is signed by {signers[0]}, which {state}, expected {needed}",
            on=self.channel,
            next_step="nothing was used; somebody may have changed the package: use another server",
        )

    def _usable(self, wanted: str, keys: dict[str, Key], where: str) -> Key:
        key = keys.get(wanted)
        if key is None:
            raise UserError(f"there is no key {wanted}", on=where, next_step="see `rastos package keys list`")
        accepted = self.accepted
        if key.revoked or (accepted and wanted in accepted.revoked):
            raise UserError(f"{wanted} was revoked", on=key.name, next_step="ask its owner for the new key")
        return key

    def _own(self) -> set[str]:
        found = _json(self.folder / "own.json").get("trusted", [])
        return {item for item in found if isinstance(item, str) and FINGERPRINT.match(item)}

    def _files(self) -> tuple[list[Path], tuple[str, ...], set[str], bool]:
        """Keyring files, the masters that count, what is revoked, and whether the first file is trusted as a whole."""
        accepted = self.accepted
        imported = self.folder / "imported.gpg"
        more = [imported] if imported.is_file() else []
        if accepted:
            masters = self.masters or accepted.masters
            return [self.folder / accepted.file, *more], masters, set(accepted.revoked), not masters
        if self.gnupg is not None:
            return [self.gnupg, *more], (), set(), True
        if self.file.is_file():
            named, gone = (self.file.with_name(f"{self.file.stem}-{word}") for word in ("trusted", "revoked"))
            masters = self.masters or (fingerprints_in(named.read_text()) if named.is_file() else ())
            revoked = set(fingerprints_in(gone.read_text())) if gone.is_file() else set()
            return [self.file, *more], masters, revoked, not masters
        return more, (), set(), False

    def _read(self) -> list[tuple[Key, tuple[set[str], set[str], int, bool]]]:
        files, masters, revoked, whole = self._files()
        if not files:
            raise NoKeyring(
                "there is no keyring",
                on=f"channel {self.channel}: {self.file}",
                next_step="set keyring_package and trusted for the channel, name a keyring file, or import a key: "
                "rastos package keys import FILE",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        real = self._real(files)
        own, needed = self._own(), min(ENOUGH, len(masters))
        first = {key.fingerprint for key in read_keys(real[:1])} if whole else set()
        return [(key, (own | first, revoked, needed, bool(masters))) for key in read_keys(real, masters)]

    def _real(self, files: list[Path]) -> list[Path]:
        """The files, with pacman-key's folder replaced by the keys it calls valid."""
        if self.gnupg is None or files[0] != self.gnupg:
            return files
        valid_keys(self.gnupg, self.folder / "pacman-key.gpg")
        return [self.folder / "pacman-key.gpg", *files[1:]]

    def _judge(self, key: Key, own: set[str], revoked: set[str], needed: int, web: bool) -> TrustedKey:
        if key.revoked or key.fingerprint in revoked:
            return TrustedKey(key, False, needed, "revoked")
        if key.fingerprint in own:
            return TrustedKey(key, True, needed, "by you" if key.fingerprint in self._own() else "in the keyring file")
        if web and key.master:
            return TrustedKey(key, True, needed, "master")
        enough = web and len(key.certified_by) >= needed
        return TrustedKey(key, enough, needed, f"{len(key.certified_by)} masters")

    def _derive(self) -> None:
        """Write ring.gpg and all.gpg anew where their sources changed, and once a day: certifications expire."""
        from rastos.host import digest_of, locked, write_json

        files, masters, revoked, _ = self._files()
        sources = [path / name for path in files for name in ("", "pubring.gpg", "pubring.kbx", "trustdb.gpg")]
        stamp = [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in sources if path.is_file()]
        parts = [*stamp, *masters, "-", *sorted(revoked), "-", *sorted(self._own()), str(int(time.time() // 86400))]
        state = {"inputs": digest_of(*parts)}
        ready = [self.folder / "ring.gpg", self.folder / "all.gpg"]
        if files and all(path.is_file() for path in ready) and _json(self.folder / "ring.json") == state:
            return
        judged = self.keys()
        with locked(self.folder / "ring.lock", f"preparing the keyring of {self.channel}", wait=60.0):
            files = self._real(files)
            export_keys(files, [item.key.fingerprint for item in judged if item.trusted], ready[0])
            kept = [item.key.fingerprint for item in judged if item.why != "revoked"]
            export_keys(files, kept, ready[1])
            write_json(self.folder / "ring.json", state)


def keys_of(file: Path) -> tuple[Key, ...]:
    """The keys in a file. UserError: there is no such file."""
    if not file.is_file():
        raise UserError("there is no such key file", on=file, next_step="check the path")
    return read_keys([file])


def _json(path: Path) -> dict[str, Any]:
    from rastos.host import read_json

    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise IntegrityError("a damaged record", on=path, next_step="remove this file; it is made again")
    return found


def _store(path: Path, value: object) -> None:
    from rastos.host import write_json

    write_json(path, value)
