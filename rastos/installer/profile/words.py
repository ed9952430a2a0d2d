"""The words of a profile, one check each: what is wrong with a name, a key, a hash, an address; "" where nothing is."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from rastos.errors import UserError

HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HASH = re.compile(r"\$[0-9a-z]+\$[^:\s]+")
KEY = re.compile(r'(?:(?:[^"\s]|"[^"\n]*")+ )?((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) (AAAA[A-Za-z0-9+/]+={0,3})(?: [^\n]*)?')
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)")
SYSCTL = re.compile(r"[a-z0-9_][A-Za-z0-9_*-]*([./][A-Za-z0-9_*@:-]+)+")
MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
INTERFACE = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,64}")
STEP = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LOCALE = re.compile(r"(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)(\.[A-Za-z0-9-]+)?(@[a-z]+)?", re.IGNORECASE)
KEYMAP = re.compile(r"[A-Za-z0-9_.-]{1,64}")
ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
PRIVATE = "this is a private key, which belongs nowhere but where it was made"
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# accounts that the base packages of Debian and Arch bring; others are seen once the tree is there
SYSTEM_USERS = frozenset(
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody _apt ftp http dbus "
    "messagebus sshd polkitd systemd-network systemd-resolve systemd-timesync systemd-coredump systemd-journal-remote "
    "systemd-oom tss uuidd avahi alpm chrony _chrony".split()
)


def parse_size(text: object, *, on: object = "", what: str = "size") -> int:
    """Bytes from 4G, 512M, 1.5G or a number. Raises UserError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?", str(text).strip().upper())
    if not found:
        raise UserError(f"{what} is '{text}', expected a size such as 4G or 512M", on=on, next_step="write it so")
    return int(float(found[1]) * SIZES[found[2]])


def is_public_key(text: str) -> bool:
    """Whether a line is a key as authorized_keys has them, perhaps with options before it (sshd(8))."""
    return not public_key_fault(text)


def public_key_fault(text: str) -> str:
    """Why a line is no public key (RFC 4253, 6.6: the type and every field with their lengths); "" where it is one."""
    if "PRIVATE KEY" in text:
        return PRIVATE
    found = KEY.fullmatch(text)
    if not found:
        return f"'{text[:40]}' is not a public SSH key"
    try:
        blob = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), validate=True)
    except (ValueError, binascii.Error):
        return "a broken SSH key: its middle is not base64"
    parts = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            return "a broken SSH key: its end is missing"
        parts.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    if parts[0] != found[1].encode():
        return f"a broken SSH key: it says {found[1]} and is something else"
    if len(parts) < 2:
        return "a broken SSH key: there is nothing in it"
    return ""


def user_fault(name: str) -> str:
    """Why nobody can be called so (useradd(8))."""
    if not USER.fullmatch(name):
        return f"'{name}' is no user name"
    return f"the user name '{name}' is taken by the system" if name in SYSTEM_USERS else ""


def address_fault(text: str) -> str:
    """Why it is no address with a prefix."""
    try:
        ipaddress.ip_interface(text)
    except ValueError as error:
        return f"'{text}' is no address: {error}"
    return "" if "/" in text else f"'{text}' lacks the length of its prefix"


def host_address_fault(text: str) -> str:
    """Why it is no address of a machine (a gateway, a name server)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"'{text}' is no address"
    return ""
