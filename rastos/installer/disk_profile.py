"""The [disk] table of image profiles: encryption, mirror, swap, data disks, a start by BIOS (docs/disk-layouts.md)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rastos.errors import UserError

DATA_PLACE = re.compile(r"/(?:srv|var/lib)(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+")
DATA_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,14}")
FILE_SYSTEMS = ("btrfs", "ext4")
LEAST_SWAP, LEAST_DATA = 8 << 20, 128 << 20
_KEYS = ("luks", "raid1", "bios", "swap", "data")
_DATA_KEYS = ("label", "mount", "size", "filesystem")

Fail = Callable[[str, str, str], UserError]  # key, what is wrong, what to do
Size = Callable[[object, str], int]  # value, key


@dataclass(frozen=True, slots=True)
class DataDisk:
    """A second disk for data: file system label, where it is mounted, size in bytes, btrfs or ext4."""

    label: str
    mount: str
    size: int
    filesystem: str = "btrfs"


@dataclass(frozen=True, slots=True)
class Disk:
    """How the disk is laid out besides ESP and btrfs. `swap` in bytes, 0 for none."""

    luks: bool = False
    raid1: bool = False
    bios: bool = False
    swap: int = 0
    data: tuple[DataDisk, ...] = ()


def read_disk(value: Any, fail: Fail, size: Size) -> Disk:
    """Read the table. `fail` makes an error that names file and line, `size` reads a size. Raises what they make."""
    if not isinstance(value, Mapping):
        raise fail("disk", "disk is a table", "write [disk] and luks = true or the like below it")
    _known(value, _KEYS, "disk", fail)
    flags = {}
    for key in ("luks", "raid1", "bios"):
        flags[key] = value.get(key, False)
        if not isinstance(flags[key], bool):
            raise fail(key, f"disk.{key} is {flags[key]!r}, expected true or false", f"write {key} = true")
    swap = size(value["swap"], "disk.swap") if "swap" in value else 0
    if swap and swap < LEAST_SWAP:
        raise fail("swap", "a swap file that small is of no use", f'write swap = "{LEAST_SWAP >> 20}M" or more')
    rows = value.get("data", [])
    if not isinstance(rows, list):
        raise fail("data", "data disks are tables", 'write [[disk.data]] and label = "…" below it')
    data = tuple(_data_disk(row, fail, size) for row in rows)
    for what in ("label", "mount"):
        names = [getattr(item, what) for item in data]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise fail("data", f"two data disks with the {what} '{twice}'", f"give each its own {what}")
    disk = Disk(luks=flags["luks"], raid1=flags["raid1"], bios=flags["bios"], swap=swap, data=data)
    if fault := disk_fault(disk):
        raise fail("disk", *fault)
    return disk


def disk_fault(disk: Disk) -> tuple[str, str] | None:
    """What can't go together, and what to do; None where all can. For tables and options alike."""
    if disk.luks and disk.raid1:
        return "an encrypted mirror is not supported", "choose luks or raid1"
    if disk.swap and disk.raid1:
        return "a swap file can't lie on a mirror of two disks (btrfs(5), swapfile support)", "leave out swap or raid1"
    return None


def _data_disk(value: Any, fail: Fail, size: Size) -> DataDisk:
    if not isinstance(value, Mapping):
        raise fail("data", "data disks are tables", 'write [[disk.data]] and label = "…" below it')
    _known(value, _DATA_KEYS, "disk.data", fail)
    label, mount = str(value.get("label", "")), str(value.get("mount", ""))
    if not DATA_LABEL.fullmatch(label):
        raise fail("data", f"'{label}' is no label for a data disk", "use up to 15 lower-case letters, digits, hyphens")
    if not DATA_PLACE.fullmatch(mount) or ".." in mount.split("/"):
        raise fail("data", f"a data disk can't be mounted on '{mount}'", "choose a folder below /srv or /var/lib")
    kind = str(value.get("filesystem", "btrfs"))
    if kind not in FILE_SYSTEMS:
        raise fail("data", f"unknown file system '{kind}'", f"use {' or '.join(FILE_SYSTEMS)}")
    if "size" not in value:
        raise fail("data", f"data disk '{label}' has no size", 'write size = "10G"')
    how_large = size(value["size"], "disk.data.size")
    if how_large < LEAST_DATA:
        raise fail("data", f"data disk '{label}' is too small", f'write size = "{LEAST_DATA >> 20}M" or more')
    return DataDisk(label, mount, how_large, kind)


def _known(table: Mapping[str, Any], known: tuple[str, ...], where: str, fail: Fail) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise fail(key, f"unknown key '{where}.{key}'", step)
