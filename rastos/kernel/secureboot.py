"""Signatures that UEFI firmware checks before it starts a program: kernel image, boot loader (UEFI 2.10, section 32; sbsign(1)).

The signature holds the time it was made (Authenticode signing time), so a signed image is not the same bytes twice.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, UserError
from rastos.host import rename_durable, require_programs, run


@dataclass(frozen=True, slots=True)
class SecureBootKey:
    """Private key and certificate as PEM files; `fingerprint` the SHA-256 of the certificate, `subject` whose it is."""

    key: Path
    certificate: Path
    fingerprint: str
    subject: str


def read_secure_boot_key(key: Path, certificate: Path) -> SecureBootKey:
    """The pair, if it is one. UserError: a file isn't there or isn't what it should be, or they don't go together."""
    require_programs("openssl", "sbsign", "sbverify")
    for path, what in ((key, "key"), (certificate, "certificate")):
        if not path.is_file():
            raise UserError(
                f"there is no Secure Boot {what}",
                on=path,
                next_step="make a pair: openssl req -new -x509 -newkey rsa:2048 -nodes -subj /CN=NAME -keyout KEY -out CERT",
            )
    try:
        words = ("openssl", "x509", "-in", certificate, "-noout")
        told = run([*words, "-fingerprint", "-sha256", "-subject"], what="read the Secure Boot certificate").stdout
        theirs = run([*words, "-pubkey"], what="read the Secure Boot certificate").stdout
        ours = run(
            ["openssl", "pkey", "-in", key, "-pubout", "-passin", "pass:"], what="read the Secure Boot key"
        ).stdout
    except ExternalError as error:
        raise UserError(
            "the Secure Boot key or certificate can't be read",
            on=f"{key}, {certificate}",
            next_step="give both as PEM files, the key without a passphrase",
            detail=error.tail,
        ) from error
    if ours.split() != theirs.split():
        raise UserError(
            "the Secure Boot key and certificate don't go together", on=f"{key}, {certificate}", next_step="give a pair"
        )
    found = re.search(r"=([0-9A-F:]+)", told)
    subject = re.search(r"subject=(.*)", told)
    return SecureBootKey(
        key.absolute(),
        certificate.absolute(),
        found[1].replace(":", "").lower() if found else "",
        subject[1].strip() if subject else "",
    )


def sign_efi(path: Path, key: SecureBootKey) -> None:
    """Sign an EFI program in place, in one step, and check the signature. ExternalError: not an EFI program."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        pair = ("--key", key.key, "--cert", key.certificate)
        run(["sbsign", *pair, "--output", temporary, path], what=f"sign {path.name} for Secure Boot")
        run(["sbverify", "--cert", key.certificate, temporary], what=f"check the signature on {path.name}")
        temporary.chmod(path.stat().st_mode & 0o777)
        rename_durable(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
