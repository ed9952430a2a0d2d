"""Answers to what an installation asks: an image profile with a table [install], so that nobody has to be there.

hostname = "node1"                # every key of an image profile
[install]
serial = "S3Z8NB0K"               # or disk = "/dev/nvme0n1", or choose = "only" | "largest" | "smallest"
erase = "S3Z8NB0K"                # only where something is on the disk: its name or serial, once more
after = "poweroff"                # or "reboot", "nothing"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.host import in_memory, mounted, run

from ..profile import ImageProfile, load_image_profile
from ..profile.places import Places
from .disks import FoundDisk, disks, read_disk

CREDENTIAL = Path("/run/credentials/@system/rastos.install")  # systemd.system-credentials(7)
LABEL = "RASTOS-CONF"  # of a second disk or CD; vfat has room for eleven characters
FILE = "answers.toml"
LARGEST = 1 << 20
FILE_SYSTEMS = ("vfat", "iso9660", "ext4")
WAYS = ("only", "largest", "smallest")
AFTER = ("nothing", "poweroff", "reboot")
KEYS = {"disk": (), "serial": (), "choose": WAYS, "erase": (), "after": AFTER}


@dataclass(frozen=True, slots=True)
class InstallAnswers:
    """What the table [install] says; "" where it doesn't. `profile`: what the machine is to be."""

    profile: ImageProfile
    path: Path
    disk: str = ""
    serial: str = ""
    choose: str = ""
    erase: str = ""
    after: str = "nothing"

    def chosen(self, least: int) -> FoundDisk:
        """The disk they mean; `least`: bytes it must have. UserError: none, or several where only one may be."""
        if self.disk:
            return read_disk(Path(self.disk))
        every = disks()
        if self.serial:
            found = [item for item in every if item.serial == self.serial]
        else:
            found = [item for item in every if not item.used_by and not item.read_only and item.size >= least]
        if len(found) == 1 or (found and self.choose in ("largest", "smallest")):
            order = sorted(found, key=lambda item: item.size)
            return order[-1] if self.choose == "largest" else order[0]
        kind = f"disk with the serial '{self.serial}'" if self.serial else f"free disk of {least >> 20} MiB or more"
        raise UserError(
            f"{len(found)} times there is a {kind}, one was expected" if found else f"there is no {kind}",
            on=self.path,
            next_step=f"here are: {'; '.join(_words(item) for item in every) or 'none'}",
        )


def _words(disk: FoundDisk) -> str:
    serial = f", serial {disk.serial}" if disk.serial else ""
    return f"{disk.path} ({disk.size >> 20} MiB{serial}{', in use' if disk.used_by else ''})"


def read_answers(path: Path, folders: Sequence[Path]) -> InstallAnswers:
    """Read such a file; every complaint names file and line. Raises UserError."""
    profile = replace(load_image_profile(str(path), folders), name="installed")
    text = path.read_text(encoding="utf-8")
    table = tomllib.loads(text).get("install", {})
    if not isinstance(table, dict):
        raise _wrong(path, text, "install", "install is not a table", "write [install], and the keys below it")
    for key, value in table.items():
        _check(path, text, key, value)
    ways = [key for key in ("disk", "serial", "choose") if table.get(key)]
    if len(ways) != 1:
        what = f"[install] names the disk in {len(ways)} ways: {', '.join(ways)}" if ways else "[install] names no disk"
        step = 'one of disk = "/dev/…", serial = "…", choose = "only"'
        raise _wrong(path, text, ways[-1] if ways else "install", what, step)
    return InstallAnswers(profile, path, **table)


def _check(path: Path, text: str, key: str, value: Any) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KEYS)}"
        raise _wrong(path, text, key, f"unknown key 'install.{key}'", step)
    if not isinstance(value, str) or not value:
        raise _wrong(path, text, key, f"{key} is {value!r}, expected text", f'write {key} = "…"')
    if KEYS[key] and value not in KEYS[key]:
        raise _wrong(path, text, key, f"{key} is '{value}'", f"choose one of {', '.join(KEYS[key])}")


def _wrong(path: Path, text: str, key: str, what: str, step: str) -> UserError:
    place = ("install",) if key == "install" else ("install", key)
    return UserError(what, on=f"{path}:{Places(text).line(place)}", next_step=step)


@contextmanager
def found_answers(folders: Sequence[Path]) -> Iterator[InstallAnswers | None]:
    """The answers somebody gave this machine for its start: a credential, or a disk with that label. None: neither.

    Raises UserError as `read_answers`, and where there is such a disk without the file.
    """
    with in_memory("answers") as place:
        data = _given(place)
        if data is None:
            yield None
            return
        (place / FILE).write_bytes(data)
        yield read_answers(place / FILE, folders)


def _given(place: Path) -> bytes | None:
    if CREDENTIAL.is_file():
        return CREDENTIAL.read_bytes()[:LARGEST]
    done = run(["blkid", "--output", "device", "--match-token", f"LABEL={LABEL}"], check=False)
    devices = done.stdout.split()
    if not devices:
        return None
    device = Path(devices[0])
    kind = run(["blkid", "--output", "value", "--match-tag", "TYPE", device], check=False).stdout.strip()
    if kind not in FILE_SYSTEMS:
        raise UserError(
            f"the disk {LABEL} has the file system '{kind}'", on=device, next_step=f"use {', '.join(FILE_SYSTEMS)}"
        )
    (place / "disk").mkdir()
    with mounted(device, place / "disk", kind, ("nosuid", "nodev", "noexec"), read_only=True) as shown:
        file = shown / FILE
        if not file.is_file() or file.is_symlink():
            raise UserError(f"the disk {LABEL} has no {FILE}", on=device, next_step="put it at its top")
        return file.read_bytes()[:LARGEST]
