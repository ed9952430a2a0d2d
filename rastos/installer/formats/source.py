"""What an image file is, before it is read: its format, what it needs beside itself, and whether it is whole."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import BusyError, IntegrityError, UserError
from rastos.host import run

from ..open import missing_image
from .table import FORMATS, Format, format_of_name

LEAKED, CORRUPT, NO_CHECK = 3, 2, 63  # exit statuses of `qemu-img check`, qemu-img(1)
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

    Raises UserError (no image, needs other files), BusyError (a machine runs on it), IntegrityError (damaged, cut off).
    """
    check_kind_of_file(path)
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
    done = run(["qemu-img", "info", "--output=json", path.absolute()], check=False)
    if done.status != 0:
        if "lock" in done.stderr:
            raise BusyError("the image is in use", on=path, holder="a running virtual machine")
        text = done.stderr.strip().splitlines()
        raise UserError(
            "this is not an image qemu-img can read", on=path, next_step="name another one", detail="\n".join(text)
        )
    value: dict[str, Any] = json.loads(done.stdout)
    return value


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
    done = run(["qemu-img", "map", "--output=json", "-f", driver, path.absolute()], what="read the image's map")
    return sum(int(item["length"]) for item in json.loads(done.stdout) if item["data"] and not item["zero"])


def image_size(path: Path) -> int:
    """The size of an image's disk in bytes. Errors as `examine`."""
    return examine(path).size
