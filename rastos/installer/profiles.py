"""Image profiles: what a machine made from an image is, as TOML in profiles/image."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rastos.errors import UserError

HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?)*")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HASH = re.compile(r"\$[0-9a-z]+\$[^:\s]+")
KEY = re.compile(r'(?:(?:[^"\s]|"[^"\n]*")+ )?(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+={0,3}(?: [^\n]*)?')
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class User:
    """A person: password as a crypt(5) hash or "" for locked."""

    name: str
    password: str = ""
    groups: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    shell: str = "/bin/bash"


@dataclass(frozen=True, slots=True)
class ImageProfile:
    """What an image is made of; sizes in bytes. `root_password`: a crypt(5) hash, or "" for locked.

    `rastos`: the machine has rastos itself, to manage its own snapshots.
    """

    name: str
    description: str = ""
    sets: tuple[str, ...] = ("base",)
    packages: tuple[str, ...] = ()
    kernel: str = "container"
    hostname: str = "rastos"
    locale: str = "C.UTF-8"
    timezone: str = "UTC"
    size: int = 4 << 30
    esp: int = 256 << 20
    format: str = "qcow2"
    cmdline: str = "console=ttyS0,115200 panic=10"
    uki: bool = False
    root_password: str = ""
    ssh_keys: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    enable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    rastos: bool = False
    path: Path = field(default=Path(), compare=False)


def parse_size(text: object, *, on: object = "", what: str = "size") -> int:
    """Bytes from 4G, 512M, 1.5G or a number. Raises UserError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?", str(text).strip().upper())
    if not found:
        raise UserError(f"{what} is '{text}', expected a size such as 4G or 512M", on=on, next_step="write it so")
    return int(float(found[1]) * SIZES[found[2]])


def is_public_key(text: str) -> bool:
    """Whether a line is a key as authorized_keys has them, perhaps with options before it (sshd(8))."""
    return KEY.fullmatch(text) is not None


def image_profiles(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of all image profiles."""
    return tuple(sorted({path.stem for folder in folders for path in (folder / "image").glob("*.toml")}))


def load_image_profile(name: str, folders: Sequence[Path]) -> ImageProfile:
    """A profile by name (or a path ending in .toml). Raises UserError with the place in the file and near names."""
    if name.endswith(".toml"):
        return _read(Path(name), Path(name).stem)
    for folder in folders:
        path = folder / "image" / f"{name}.toml"
        if path.is_file():
            return _read(path, name)
    known = image_profiles(folders)
    near = difflib.get_close_matches(name, known, n=1)
    step = f"did you mean '{near[0]}'?" if near else f"known profiles: {', '.join(known) or 'none'}"
    raise UserError(f"there is no image profile '{name}'", next_step=step)


def _read(path: Path, name: str) -> ImageProfile:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"malformed TOML: {error}", on=path, next_step="correct the line named") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the profile: {error}", on=path, next_step="check the file") from error
    return _Reader(path, text).profile(document, name)


class _Reader:
    """Checks a document; every complaint names file and line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def fail(self, key: str, what: str, step: str) -> UserError:
        line = next((n for n, row in enumerate(self.lines, 1) if re.match(rf"\s*\[*\"?{re.escape(key)}\b", row)), 1)
        return UserError(what, on=f"{self.path}:{line}", next_step=step)

    def profile(self, document: Mapping[str, Any], name: str) -> ImageProfile:
        document = {key: value for key, value in document.items() if key != "install"}  # read by install/answers.py
        known = {item.name.replace("_", "-") for item in fields(ImageProfile)} - {"name", "path"}
        self._keys(document, known, "")
        values: dict[str, Any] = {}
        for key, value in document.items():
            field_name = key.replace("-", "_")
            if key in ("size", "esp"):
                values[field_name] = parse_size(value, on=self.path, what=key)
            elif key == "users":
                if not isinstance(value, list):
                    raise self.fail("users", "users are tables", "write [[users]] and name = …")
                values["users"] = tuple(self._user(item) for item in value)
            elif key in ("sets", "packages", "ssh-keys", "enable", "mask"):
                values[field_name] = self._names(key, value)
            elif key in ("rastos", "uki"):
                if not isinstance(value, bool):
                    raise self.fail(key, f"{key} is {value!r}, expected true or false", f"write {key} = true")
                values[field_name] = value
            elif isinstance(value, str):
                values[field_name] = value
            else:
                raise self.fail(key, f"{key} is {value!r}, expected text", f'write {key} = "…"')
        profile = replace(ImageProfile(name=name, path=self.path), **values)
        if not HOSTNAME.fullmatch(profile.hostname):
            raise self.fail("hostname", f"'{profile.hostname}' is no host name", "use letters, digits and hyphens")
        if profile.format not in ("qcow2", "raw"):
            raise self.fail("format", f"unknown format '{profile.format}'", "use qcow2 or raw")
        self._password(profile.root_password, "root-password")
        self._public_keys(profile.ssh_keys)
        return profile

    def _user(self, value: Any) -> User:
        if not isinstance(value, Mapping):
            raise self.fail("users", "users are tables", "write [[users]] and name = …")
        self._keys(value, {"name", "password", "groups", "ssh-keys", "shell"}, "users.")
        name = str(value.get("name", ""))
        if not USER.fullmatch(name):
            raise self.fail("users", f"'{name}' is no user name", "use lower-case letters, digits, _ and -")
        password = str(value.get("password", ""))
        self._password(password, "password")
        keys = self._names("ssh-keys", value.get("ssh-keys", []))
        self._public_keys(keys)
        groups = self._names("groups", value.get("groups", []))
        return User(name, password, groups, keys, str(value.get("shell", "/bin/bash")))

    def _public_keys(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            if not is_public_key(key):
                raise self.fail(
                    "ssh-keys", f"'{key[:40]}' is not a public SSH key", "put in the one line of the .pub file"
                )

    def _password(self, value: str, key: str) -> None:
        if value and not HASH.fullmatch(value):
            raise self.fail(
                key, f"{key} is not a password hash", "make one with `openssl passwd -6`, or leave it out to lock"
            )

    def _names(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and "\n" not in item for item in value):
            raise self.fail(key, f"{key} is {value!r}, expected a list of texts", f'write {key} = ["…"]')
        return tuple(value)

    def _keys(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
                raise self.fail(key, f"unknown key '{where}{key}'", step)
