"""A profile from answers: what is asked, whether an answer will do, and the commented TOML that comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

from .profile import ImageProfile, load_image_profile, parse_size, public_key_fault, read_image_profile
from .profile.keys import near
from .profile.words import (
    HOSTNAME,
    KEYMAP,
    LOCALE,
    SYSTEM_USERS,
    ZONE,
    address_fault,
    host_address_fault,
    user_fault,
)
from .system.keyboard import model_map
from .system.language import BUILT_IN_LOCALES, SOURCES
from .system.time_zone import zones_of

# what brings locales and keymaps, by the kind of the channels
LOCALE_PACKAGE = {"debian": "locales", "pacman": ""}  # Arch's glibc has them
KEYMAP_PACKAGE = {"debian": "console-setup", "pacman": "kbd"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody said; passwords are hashes by now. "" and () mean: as the inherited profile has it."""

    inherits: str = "server"
    hostname: str = ""
    locale: str = ""
    keymap: str = ""
    timezone: str = ""
    size: str = ""
    kernel: str = ""
    packages: tuple[str, ...] = ()
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    user: str = ""
    comment: str = ""
    password: str = ""
    sudo: str = ""
    ssh_keys: tuple[str, ...] = ()
    root_password: str = ""
    root_ssh_keys: tuple[str, ...] = ()


def answer_fault(key: str, value: str, folders: Sequence[Path] = ()) -> str:
    """Why an answer won't do, with near names; "" where it will. Names are held against this host's own lists, where it has them."""
    host = Path("/")
    if key == "inherits":
        try:
            load_image_profile(value, folders)
        except UserError as error:
            return f"{error.what}; {error.next_step}"
    elif key == "hostname":
        return "" if HOSTNAME.fullmatch(value) and len(value) <= 64 else f"'{value}' is no host name"
    elif key == "timezone":
        return (
            "" if ZONE.fullmatch(value) and _in(value, zones_of(host)) else _unknown("time zone", value, zones_of(host))
        )
    elif key == "locale":
        known = _locales(host)
        good = value.lower() in BUILT_IN_LOCALES or (LOCALE.fullmatch(value) and _in(value, known))
        return "" if good else _unknown("locale", value, known)
    elif key == "keymap":
        names = tuple(model_map(host))
        layouts = {name for row in model_map(host).values() for name in row[0].split(",")}
        good = KEYMAP.fullmatch(value) and (_in(value, names) or value.partition("-")[0] in layouts)
        return "" if good else _unknown("keymap", value, names)
    elif key == "user":
        fault = user_fault(value)
        return fault if value in SYSTEM_USERS or not fault else f"{fault}: lower-case letters, digits, _ and -"
    elif key == "size":
        try:
            parse_size(value)
        except UserError as error:
            return error.what
    elif key == "ssh-key":
        return public_key_fault(value)
    elif key == "address":
        return address_fault(value)
    elif key in ("gateway", "dns"):
        return host_address_fault(value)
    return ""


def host_time_zone() -> str:
    """The zone of this host, offered as the answer."""
    try:
        target = str(Path("/etc/localtime").readlink())
    except OSError:
        return "UTC"
    name = target.partition("zoneinfo/")[2]
    return name if ZONE.fullmatch(name) else "UTC"


def host_public_keys(folder: Path) -> tuple[str, ...]:
    """The public keys in a ~/.ssh, offered for logging in."""
    texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(folder.glob("*.pub"))]
    return tuple(text for text in texts if not public_key_fault(text))


def written_profile(answers: Answers, place: Path, folders: Sequence[Path], kind: str) -> tuple[str, ImageProfile]:
    """The TOML, and the profile it is. UserError names the first answer that won't do, as `image check` would."""
    text = _text(answers, kind)
    reading = read_image_profile(str(place), folders, text=text)
    for fault in reading.faults:
        raise fault
    return text, reading.profile


def _in(value: str, known: Sequence[str]) -> bool:
    return value in known or not known


def _unknown(what: str, value: str, known: Sequence[str]) -> str:
    return f"there is no {what} '{value}'; {near(value, known, 'some are')}"


def _locales(host: Path) -> tuple[str, ...]:
    place = host / SOURCES
    return tuple(row.split()[0] for row in place.read_text().splitlines() if row.strip()) if place.is_file() else ()


def _text(a: Answers, kind: str) -> str:
    packages = list(a.packages)
    if a.locale and a.locale.lower() not in BUILT_IN_LOCALES and (name := LOCALE_PACKAGE.get(kind, "")):
        packages.append(name)
    if a.keymap and (name := KEYMAP_PACKAGE.get(kind, "")):
        packages.append(name)
    rows = [
        "# Written by `rastos image init`. Every key: docs/image-profiles.md. `rastos image check` says whether it holds,",
        "# `rastos image show` what it comes to with all it inherits.",
        f"inherits = {_quoted(a.inherits)}",
    ]
    for comment, key, value in (
        ("", "hostname", a.hostname),
        ("", "timezone", a.timezone),
        ("language and formats; other than C.UTF-8 they are made from a package below", "locale", a.locale),
        ("the console's keyboard", "keymap", a.keymap),
        ("the whole disk; it can grow later", "size", a.size),
        ("a kernel profile, a package, or distro", "kernel", a.kernel),
    ):
        if value:
            rows.append(f"{key} = {_quoted(value)}" + (f" # {comment}" if comment else ""))
    if packages:
        rows.append(f"packages = {_list(dict.fromkeys(packages))} # beside the inherited ones; -NAME takes one out")
    if a.root_password:
        rows.append(f"root-password = {_quoted(a.root_password)} # a hash; without it root's password is locked")
    if a.root_ssh_keys:
        rows += ["# who may log in as root", f"ssh-keys = {_list(a.root_ssh_keys)}"]
    rows += _user(a) if a.user else []
    if a.address:
        rows += ["", "[[network.interfaces]]", 'match = "en*"', f"addresses = {_list((a.address,))}"]
        rows += [f"gateway = {_quoted(a.gateway)}"] if a.gateway else []
        rows += [f"dns = {_list(a.dns)}"] if a.dns else []
    return "\n".join(rows) + "\n"


def _user(a: Answers) -> list[str]:
    rows = ["", "[[users]]", f"name = {_quoted(a.user)}"]
    rows += [f"comment = {_quoted(a.comment)}"] if a.comment else []
    if a.sudo in ("yes", "no-password"):
        rows.append('sudo = "no-password"' if a.sudo == "no-password" else "sudo = true # asks for the password")
    rows += [f"password = {_quoted(a.password)} # a hash"] if a.password else []
    return rows + ([f"ssh-keys = {_list(a.ssh_keys)}"] if a.ssh_keys else [])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a basic string of TOML


def _list(texts: Sequence[str] | dict[str, None]) -> str:
    return "[" + ", ".join(_quoted(text) for text in texts) + "]"
