"""The disks of this machine: how large, what is on them, who uses them. Nothing here writes."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.host import disk_size, run

from ..partition import SECTOR

COLUMNS = "PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RM,RO,MOUNTPOINTS"
KINDS = ("disk", "loop")  # lsblk(8), TYPE: what can be installed onto
EXTENDED = ("5", "f", "85")  # of an MBR: a box of partitions, no partition itself
MOUNTED_BTRFS = Path("/sys/fs/btrfs")


@dataclass(frozen=True, slots=True)
class DiskPart:
    """A partition found on a disk: bytes from its start, bytes, and what a look inside tells (blkid(8)), "" for nothing."""

    number: int
    start: int
    size: int
    name: str
    content: str
    label: str


@dataclass(frozen=True, slots=True)
class FoundDisk:
    """A disk, or a file that stands for one (`kind` "image"); size in bytes, what is unknown is "".

    `table`: gpt, dos or "". `content`: a file system (or the like) on the whole disk. `used_by`: why it can't be written.
    """

    path: Path
    kind: str
    size: int
    model: str = ""
    serial: str = ""
    transport: str = ""
    removable: bool = False
    read_only: bool = False
    table: str = ""
    content: str = ""
    parts: tuple[DiskPart, ...] = ()
    used_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The word by which somebody says that this disk is meant."""
        return self.path.name

    @property
    def empty(self) -> bool:
        """Nothing that anybody could miss: no partition table, no file system."""
        return not self.table and not self.content

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "path": str(self.path), "name": self.name, "empty": self.empty}


def disks() -> tuple[FoundDisk, ...]:
    """The disks that somebody could mean, in the kernel's order: no empty drives, no loops, no memory."""
    found = _listed()
    named = (item for item in found if item["type"] == "disk" and item["size"] and not _in_memory(item["path"]))
    return tuple(_disk(item) for item in named)


def read_disk(path: Path) -> FoundDisk:
    """One disk, by its node or a link to it (/dev/disk/by-id/…), or an image file.

    Raises UserError for a partition, for what is no disk, and where nothing is.
    """
    place = path.resolve() if path.is_symlink() else path.absolute()
    if place.is_file():
        return _with_contents(FoundDisk(place, "image", disk_size(place)))
    if not place.exists() or not stat.S_ISBLK(place.stat().st_mode):
        raise UserError(
            "this is neither a disk nor an image file", on=path, next_step="see the disks: rastos install --list"
        )
    item = next(iter(_listed(place)), None)
    if item is None or item["type"] not in KINDS:
        kind = item["type"] if item else "device"
        raise UserError(
            f"this is a {kind}, not a whole disk", on=path, next_step="name the disk itself: rastos install --list"
        )
    return _disk(item)


def _listed(path: Path | None = None) -> list[dict[str, Any]]:
    argv: list[str | Path] = ["lsblk", "--json", "--bytes", "--tree", "--output", COLUMNS, *([path] if path else [])]
    text = run(argv, what="list the disks").stdout
    found = json.loads(text)["blockdevices"] if text.strip() else []
    return [item for item in found if isinstance(item, dict)]


def _in_memory(path: str) -> bool:
    return path.startswith(("/dev/zram", "/dev/ram", "/dev/fd"))


def _disk(item: Mapping[str, Any]) -> FoundDisk:
    path = Path(item["path"])
    return _with_contents(
        FoundDisk(
            path,
            "disk",
            int(item["size"]),
            model=_text(item["model"]),
            serial=_text(item["serial"]),
            transport=_text(item["tran"]),
            removable=bool(item["rm"]),
            read_only=bool(item["ro"]),
            used_by=tuple(_users(item)),
        )
    )


def _text(value: object) -> str:
    """A device says what it likes of itself."""
    words = "".join(sign if sign.isprintable() else " " for sign in str(value or ""))
    return " ".join(words.split())


def _users(item: Mapping[str, Any]) -> Iterator[str]:
    """Mounts, swap and holders of a device and of what lies on it (lsblk's tree), and every btrfs that is mounted."""
    pending = [item]
    pooled = {path.name for path in MOUNTED_BTRFS.glob("*/devices/*")}
    while pending:
        one = pending.pop(0)
        children = one.get("children", [])
        pending += children
        points = sorted(str(point) for point in one.get("mountpoints") or [] if point)
        if "[SWAP]" in points:
            yield f"{one['path']} is swap"
        elif points:
            yield f"{one['path']} is mounted ({', '.join(points)})"
        elif Path(one["path"]).name in pooled:
            yield f"{one['path']} is mounted (btrfs)"
        for child in children:
            if child["type"] not in ("part", "disk"):
                yield f"{child['path']} ({child['type']}) is made of it"


def _with_contents(disk: FoundDisk) -> FoundDisk:
    values = asdict(disk)
    whole = _probed(disk.path, 0, 0)
    table = whole.get("PTTYPE", "") if "TYPE" not in whole else ""
    values["content"] = whole.get("TYPE", "")
    values["table"] = table
    values["parts"] = tuple(_parts(disk.path)) if table in ("gpt", "dos") else ()
    values["path"] = disk.path
    return FoundDisk(**values)


def _parts(path: Path) -> Iterator[DiskPart]:
    done = run(["sfdisk", "--json", path], check=False)
    table = json.loads(done.stdout).get("partitiontable", {}) if done.status == 0 and done.stdout else {}
    sector = int(table.get("sectorsize", SECTOR))
    for number, item in enumerate(table.get("partitions", []), start=1):
        if str(item["type"]).lower() in EXTENDED:
            continue
        start, size = item["start"] * sector, item["size"] * sector
        found = _probed(path, start, size)
        yield DiskPart(
            number, start, size, _text(item.get("name", "")), found.get("TYPE", ""), _text(found.get("LABEL", ""))
        )


def _probed(path: Path, start: int, size: int) -> dict[str, str]:
    """What libblkid sees there: nothing where it sees nothing; "several" where it can't tell (status 8), "unreadable"."""
    where = ["--offset", str(start), "--size", str(size)] if size else []
    done = run(["blkid", "--probe", "--output", "export", *where, path], check=False)
    if done.status == 8:
        return {"TYPE": "several"}
    if "error:" in done.stderr:
        return {"TYPE": "unreadable"}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
