"""The key that signs modules: made once, kept with the state, so that the same sources always give the same bytes.

Left alone, the kernel's build makes a key of its own in every build tree, and no two builds are alike. RSA, because its
signatures hold no chance (Documentation/admin-guide/module-signing.rst, Documentation/kbuild/reproducible-builds.rst).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.host import locked, require_programs, run, working_directory, write_atomic

NAME = "module-signing.pem"
IN_TREE = "certs/rastos-signing.pem"  # where a build tree names it: no path of this machine gets into the configuration
DAYS = 36500  # as the kernel's own: a kernel doesn't stop loading its modules one day
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

# certs/default_x509.genkey of the kernel
REQUEST = """\
[ req ]
default_bits = 4096
distinguished_name = req_distinguished_name
prompt = no
string_mask = utf8only
x509_extensions = myexts

[ req_distinguished_name ]
CN = rastos module signing key

[ myexts ]
basicConstraints=critical,CA:FALSE
keyUsage=digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`path`: private key and certificate as one PEM file; `certificate`: SHA-256 of the certificate (hex)."""

    path: Path
    certificate: str


def known_module_key(state: Path) -> SigningKey | None:
    """The key of this state folder, None where none was made yet. Raises IntegrityError for a damaged file."""
    path = state / "keys" / NAME
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    found = _CERTIFICATE.search(text)
    if found is None or "PRIVATE KEY-----" not in text:
        raise IntegrityError(
            "the key that signs modules is damaged: it must hold a private key and a certificate in PEM form",
            on=path,
            next_step="put the file back from a backup, or remove it: the next build makes another key",
        )
    return SigningKey(path, hashlib.sha256(base64.b64decode(found[1])).hexdigest())


def module_key(state: Path) -> SigningKey:
    """The same, made where there is none: readable by its owner only, never replaced. openssl(1), req."""
    folder = state / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", "make the key that signs modules", wait=120.0):
        known = known_module_key(state)
        if known is not None:
            return known
        require_programs("openssl")
        with working_directory(folder, "key-") as work:
            (work / "request").write_text(REQUEST, encoding="ascii")
            argv = ["openssl", "req", "-new", "-x509", "-nodes", "-utf8", "-sha512", "-days", str(DAYS), "-batch"]
            argv += ["-newkey", "rsa:4096", "-config", "request", "-keyout", "key", "-out", "certificate"]
            run(argv, cwd=work, what="make the key that signs modules")
            both = (work / "key").read_bytes() + (work / "certificate").read_bytes()
        write_atomic(folder / NAME, both, mode=0o600)
    made = known_module_key(state)
    assert made is not None
    return made


def place_key(key: SigningKey, tree: Path) -> None:
    """Make the key known to a build tree: a link, so that no copy of a private key lies in a cache."""
    link = tree / IN_TREE
    link.parent.mkdir(parents=True, exist_ok=True)
    target = key.path.absolute()
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
