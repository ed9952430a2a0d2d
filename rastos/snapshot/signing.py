"""Who may vouch for snapshots: signing with a key of ours, and whose signatures count."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import working_directory
from rastos.package import sign_files, verify_detached


@dataclass(frozen=True, slots=True)
class Signer:
    """A secret key (fingerprint; "" for none: nothing is signed) and the GnuPG folder it is in (None: the user's)."""

    key: str = ""
    home: Path | None = None

    def sign(self, content: bytes) -> bytes:
        """A detached signature over some bytes; b"" without a key. ExternalError: gpg could not."""
        if not self.key:
            return b""
        with working_directory(Path(tempfile.gettempdir()), "rastos-sign") as folder:
            place = folder / "content"
            place.write_bytes(content)
            sign_files([place], self.key, self.home)
            return (folder / "content.sig").read_bytes()


@dataclass(frozen=True, slots=True)
class Trust:
    """The keyring whose signatures count; `unsigned`: what nobody signed is taken too."""

    keyring: Path | None = None
    unsigned: bool = False

    @property
    def _has_keys(self) -> bool:
        return self.keyring is not None and self.keyring.is_file()

    def expect(self, signed: bool, what: str) -> None:
        """Refuse early what would be refused at its end. IntegrityError: unsigned, or nothing to check it with."""
        if self.unsigned or (signed and self._has_keys):
            return
        if not signed:
            step = "have it sent with a signing key (signing_key), or take it as it is: --unsigned"
            raise IntegrityError(f"{what} is not signed", next_step=step)
        raise IntegrityError(
            f"{what} is signed, and there is no keyring to check it with",
            on=self.keyring or "",
            next_step="export the sender's public key there: gpg --export FINGERPRINT",
        )

    def check(self, content: bytes, signature: bytes, what: str) -> str:
        """The fingerprint that signed these bytes, or "" for unsigned ones that are accepted.

        IntegrityError: unsigned, a wrong signature, or one by a key that isn't trusted. A wrong signature is refused
        even where none is needed.
        """
        if not signature or not self._has_keys:
            self.expect(bool(signature), what)
            return ""
        assert self.keyring is not None
        with working_directory(Path(tempfile.gettempdir()), "rastos-sign") as folder:
            place = folder / "content"
            place.write_bytes(content)
            (folder / "content.sig").write_bytes(signature)
            return verify_detached(place, folder / "content.sig", self.keyring, folder, what)[0].fingerprint
