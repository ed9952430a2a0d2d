"""Secure Boot in a machine: firmware that checks signatures, and variables in which a certificate is enrolled.

The certificate becomes platform key, key exchange key and the one allowed signer (UEFI 2.10, section 32.3), as on
hardware whose owner put in only his own. virt-firmware writes the variables; nothing has to be typed into a firmware menu.
"""

from __future__ import annotations

import re
from pathlib import Path

from rastos.errors import HostError, UserError

# code that keeps its variables where only System Management Mode can write them, and the empty variables for it
FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
OWNER = "4f1e3b5a-6c0d-4c55-9d0c-8f6f3a1d7e42"  # who put a signature into a list; any will do
ENROLLED = ("PK", "KEK", "db")
# what OVMF and systemd-boot say of a program whose signature doesn't hold
REFUSED = re.compile(r"^.*(?:Access Denied|Security Violation|Bad shim signature).*$", re.IGNORECASE | re.MULTILINE)


def refusal(text: str) -> str:
    """The words on the console with which firmware or boot loader refused to start something; "" where none did."""
    return "\n".join(line.strip() for line in REFUSED.findall(text))


def find_secure_firmware() -> tuple[Path, Path]:
    """UEFI code that checks signatures, and empty variables. Raises HostError where there is none."""
    for code, variables in FIRMWARE:
        if Path(code).is_file() and Path(variables).is_file():
            return Path(code), Path(variables)
    raise HostError("no UEFI firmware with Secure Boot for QEMU here", next_step="install ovmf (Debian) or edk2-ovmf")


def enrol(variables: Path, certificate: Path, target: Path) -> None:
    """Write variables with `certificate` (PEM) enrolled and Secure Boot on to `target`.

    Raises UserError for what is no certificate, HostError without virt-firmware.
    """
    try:
        from cryptography import x509
        from virt.firmware.varstore.edk2 import Edk2VarStore
    except ImportError as error:
        raise HostError(
            "virt-firmware is missing, which enrols keys for a virtual machine",
            next_step="install it: pip install 'rastos[secure-boot]', or pip install virt-firmware",
        ) from error
    try:
        x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            "this is no certificate that can be enrolled", on=certificate, next_step="name the certificate's PEM file"
        ) from error
    store = Edk2VarStore(str(variables))
    found = store.get_varlist()
    for name in ENROLLED:
        found.add_cert(name, OWNER, str(certificate), True)
    found.add_dummy_dbx(OWNER)  # some firmware wants a list of what is forbidden, if an empty one
    found.enable_secureboot()
    store.write_varstore(str(target), found)
