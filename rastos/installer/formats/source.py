"""What an image file is, before it is read: its format, what it needs beside itself, and whether it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import BusyError, IntegrityError, UserError
from rastos.host import run

from ..open import missing_image
from ..partition import SECTOR
from .table import FORMATS, Format, format_of_name

LEAKED, CORRUPT, NO_CHECK = 3, 2, 63  # exit statuses of `qemu-img check`, qemu-img(1)
QEMU_WRITES = 101
_FLOCK = struct.Struct("hhqqi0q")
_LAST = 1 << 20  # the last block of a file need not be written to its end
_OVERLAY = "it takes parts of it from another file"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: `size` of the disk in bytes, `data` how much of it holds something, `bytes_on_disk` of the file.

    `backing`: the file an overlay stands on. `compression` of its clusters, "" for none; `snapshots`: how many it holds.
    """

    path: Path
    format: Format
    size: int
    bytes_on_disk: int
    data: int
    backing: str = ""
    compression: str = ""
    snapshots: int = 0


def examine(path: Path, *, overlay: bool = False) -> ImageFile:
    """Look at an image file of any format that qemu-img reads; an overlay only where `overlay` says so.

    Raises UserError (no image, needs other files), BusyError (a machine writes to it), IntegrityError (damaged, cut off).
    """
    check_kind_of_file(path)
    if _is_written(path):
        raise BusyError("the image is in use", on=path, holder="a running virtual machine")
    found = _info(path)
    driver = str(found["format"])
    named = format_of_name(path)
    kind = _format(driver, found, named)
    if kind is None:
        known = ", ".join(sorted({item.driver for item in FORMATS.values() if item.driver}))
        raise UserError(f"images of format {driver} are not known here", on=path, next_step=f"known: {known}")
    if driver == "raw" and named is not None and named.kind == "disk" and named.driver != "raw":
        raise IntegrityError(
            f"it is called {named.suffix} and is none: cut off, or under a wrong name",
            on=path,
            next_step="fetch it again; a raw image is called .raw or .img",
        )
    others = _other_files(path, found)
    if others and not overlay:
        raise UserError(
            f"it is not whole by itself, {_OVERLAY}: {others[0]}",
            on=path,
            next_step="if you trust that file to be meant, take both together: --overlay",
        )
    compression = _compression(path, driver, found)
    data = _data(path, driver)
    if driver == "raw":
        check_raw(path, int(found["virtual-size"]))
    on_disk = path.stat().st_blocks * 512
    backing = str(found.get("backing-filename", ""))
    held = len(found.get("snapshots") or ())
    return ImageFile(path, kind, int(found["virtual-size"]), on_disk, data, backing, compression, held)


def check_kind_of_file(path: Path) -> None:
    """UserError unless the path is a file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise missing_image(path) from None
    if stat.S_ISBLK(mode):
        raise UserError(
            "this is a disk, not an image file", on=path, next_step="copy it to a file first, or name an image"
        )
    if not stat.S_ISREG(mode):
        raise UserError("this is not a file", on=path, next_step="name an image file")


def _is_written(path: Path) -> bool:
    """Whether a QEMU may write to it: then it has a lock on byte 101 (block/file-posix.c; fcntl(2), open file description locks).

    One that only reads, as under a throw-away overlay, is none's hindrance; and for raw images qemu-img does not look.
    """
    with open(path, "rb") as stream:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, QEMU_WRITES, 1, 0)
        answer = fcntl.fcntl(stream.fileno(), fcntl.F_OFD_GETLK, question)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def check_raw(path: Path, size: int, *, name: Path | None = None) -> None:
    """A raw disk has no header: at least its partition table has to be there, and end within it."""
    from ..partition import read_layout

    parts = read_layout(path, name=name)
    end = max((part.start + part.size for part in parts), default=0)
    if end > size:
        raise IntegrityError(
            f"it is cut off: {size >> 20} MiB long, its partitions take {end >> 20} MiB",
            on=name or path,
            next_step="fetch or make it again",
        )


def _info(path: Path) -> dict[str, Any]:
    # a fixed VHD begins like a raw disk, only its last sector tells: qemu-img does not look there
    driver = ("-f", "vpc") if _ends_as_vhd(path) else ()
    done = run(["qemu-img", "info", "--output=json", *driver, path.absolute()], check=False)
    if done.status != 0:
        if "lock" in done.stderr:
            raise BusyError("the image is in use", on=path, holder="a running virtual machine")
        text = done.stderr.strip().splitlines()
        raise UserError(
            "this is not an image qemu-img can read", on=path, next_step="name another one", detail="\n".join(text)
        )
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def _ends_as_vhd(path: Path) -> bool:
    with open(path, "rb") as stream:
        if stream.seek(0, os.SEEK_END) < SECTOR:
            return False
        stream.seek(-SECTOR, os.SEEK_END)
        return stream.read(8) == b"conectix"


def _format(driver: str, found: dict[str, Any], named: Format | None) -> Format | None:
    fitting = [item for item in FORMATS.values() if item.driver == driver]
    kind = str((found.get("format-specific") or {}).get("data", {}).get("create-type", ""))
    if kind:
        fitting.sort(key=lambda item: f"subformat={kind}" not in item.options)
    elif named in fitting and named is not None:
        return named
    return fitting[0] if fitting else None


def _other_files(path: Path, found: dict[str, Any]) -> list[str]:
    """Files this one names and needs. An image that a stranger made could name any file of this machine."""
    data = (found.get("format-specific") or {}).get("data", {})
    names = [found.get("full-backing-filename") or found.get("backing-filename"), data.get("data-file")]
    names += [item.get("filename") for item in data.get("extents") or ()]
    own = path.absolute().resolve()
    return [str(name) for name in names if name and Path(str(name)).absolute().resolve() != own]


def _compression(path: Path, driver: str, found: dict[str, Any]) -> str:
    """Check the image's own tables; how its clusters are compressed. IntegrityError: damaged."""
    done = run(["qemu-img", "check", "--output=json", "-f", driver, path.absolute()], check=False)
    if done.status == NO_CHECK:
        return ""
    if done.status not in (0, LEAKED):
        if "lock" in done.stderr:
            raise BusyError("the image is in use", on=path, holder="a running virtual machine")
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise IntegrityError(
            "the image is damaged or cut off",
            on=path,
            next_step=f"fetch or make it again; what is wrong: qemu-img check {path}",
            detail="\n".join(words[:6]),
        )
    value = json.loads(done.stdout or "{}")
    data = (found.get("format-specific") or {}).get("data", {})
    return str(data.get("compression-type", "zlib")) if value.get("compressed-clusters") else ""


def _data(path: Path, driver: str) -> int:
    """Bytes of the disk that hold something. IntegrityError: some of them lie behind the end of the file."""
    done = run(["qemu-img", "map", "--output=json", "-f", driver, path.absolute()], what="read the image's map")
    found = [item for item in json.loads(done.stdout) if item["data"] and not item["zero"]]
    length = path.stat().st_size
    # qemu-img reads zeros there, and not every format's check looks
    ends = [item["offset"] + item["length"] for item in found if "offset" in item and item.get("depth", 0) == 0]
    if any(end > length + _LAST for end in ends):
        raise IntegrityError(
            "the image is cut off: it names data behind the end of its file",
            on=path,
            next_step="fetch or make it again",
        )
    total = sum(int(item["length"]) for item in found)
    return min(total, length) if driver == "vhdx" else total  # of which qemu-img knows no holes


def image_size(path: Path) -> int:
    """The size of an image's disk in bytes. Errors as `examine`."""
    return examine(path).size
