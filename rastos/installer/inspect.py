"""Looking into an image without changing it: as root all of it, else what partition table and ESP tell."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.host import Privilege, read_json, run, working_directory
from rastos.snapshot import (
    Deployment,
    Esp,
    MtoolsEsp,
    SessionRecord,
    Snapshot,
    Store,
    bad_snapshots,
    boot_entries,
    kept_sessions,
)

from .encryption import is_encrypted
from .mirror import is_mirrored
from .open import MANIFEST, image_lock, missing_image, open_image, shown_format
from .partition import ESP_TYPE, ROOT_TYPE, Partition, read_layout

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class BootEntry:
    """A boot entry: its file name, deployment, state (new, good, bad) and tries left; what it starts (paths on the ESP)
    and with which words."""

    name: str
    deployment: int
    state: str
    tries_left: int | None
    starts: tuple[str, ...] = ()
    options: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an image holds; sizes in bytes. `complete`: it was mounted; else all but partitions, entries and ESP is empty."""

    path: Path
    format: str
    size: int
    bytes_on_disk: int
    partitions: tuple[Partition, ...]
    snapshots: tuple[Snapshot, ...]
    deployments: tuple[Deployment, ...]
    entries: tuple[BootEntry, ...]
    next: int | None
    esp_free: int
    esp_size: int
    root_used: int
    root_size: int
    cmdline: str
    made: Mapping[str, Any]  # the manifest of its creation: profile, kernel, key, packages, seconds by phase
    encrypted: bool = False  # the root is a LUKS volume
    mirrored: bool = False  # its btrfs is on a second disk too
    sessions: tuple[SessionRecord, ...] = ()
    bad: tuple[int, ...] = ()
    complete: bool = True


def inspect_image(path: Path) -> Inspection:
    """Read everything there is to tell; without root what needs no mount. Raises what `open_image` raises."""
    if not Privilege.current().may_mount:
        return _without_mount(path)
    with open_image(path, writable=False, purpose="inspect") as image:
        store = Store.open(image.top, image.esp, writable=False)
        current = store.current()
        status = os.statvfs(image.top)
        return Inspection(
            path=path,
            format=image.format,
            size=image.disk.stat().st_size,
            bytes_on_disk=path.stat().st_blocks * 512,
            partitions=image.partitions,
            snapshots=store.snapshots(),
            deployments=store.deployments(),
            entries=_entries(image.esp),
            next=current.number if current else None,
            esp_free=image.esp.free(),
            esp_size=image.esp.size(),
            root_used=(status.f_blocks - status.f_bfree) * status.f_frsize,
            root_size=status.f_blocks * status.f_frsize,
            cmdline=store.info["cmdline"],
            made=read_json(image.top / MANIFEST) if (image.top / MANIFEST).is_file() else {},
            encrypted=is_encrypted(image.disk, _root_start(image.partitions)),
            mirrored=is_mirrored(image.partitions),
            sessions=kept_sessions(store),
            bad=tuple(sorted(bad_snapshots(store))),
        )


def _without_mount(path: Path) -> Inspection:
    """The partition table and the ESP are copied out by qemu-img and read there: any user can do that."""
    if not path.is_file():
        raise missing_image(path)
    with (
        image_lock(path, "inspect", shared=True),
        working_directory(Path(tempfile.gettempdir()), "rastos-look") as work,
    ):
        kind = shown_format(path)
        size = int(json.loads(run(["qemu-img", "info", "--output=json", path]).stdout)["virtual-size"])
        disk = work / "disk"
        _copy_out(path, kind, disk, 0, _BLOCK)
        os.truncate(disk, size)  # a hole, so that the table fits its disk
        partitions = read_layout(disk, name=path)
        part = next((item for item in partitions if item.type == ESP_TYPE), None)
        esp: Esp | None = None
        if part is not None:
            _copy_out(path, kind, work / "esp", part.start, part.size)
            esp = MtoolsEsp(work / "esp", 0, part.size)
        start = _root_start(partitions)
        if start:
            _copy_out(path, kind, work / "root", start, _BLOCK)
        entries = _entries(esp) if esp else ()
        usable = [entry.deployment for entry in entries if entry.state != "bad"]
        return Inspection(
            path=path,
            format=kind,
            size=size,
            bytes_on_disk=path.stat().st_blocks * 512,
            partitions=partitions,
            snapshots=(),
            deployments=(),
            entries=entries,
            next=max(usable, default=None),
            esp_free=esp.free() if esp else 0,
            esp_size=esp.size() if esp else 0,
            root_used=0,
            root_size=0,
            cmdline="",
            made={},
            encrypted=bool(start) and is_encrypted(work / "root", 0),
            mirrored=is_mirrored(partitions),
            complete=False,
        )


def _root_start(partitions: tuple[Partition, ...]) -> int:
    return next((part.start for part in partitions if part.type == ROOT_TYPE), 0)


def _copy_out(image: Path, kind: str, target: Path, start: int, size: int) -> None:
    argv = ["qemu-img", "dd", "-f", kind, "-O", "raw", f"bs={_BLOCK}", f"skip={start // _BLOCK}"]
    # qemu-img counts from the image's begin, whatever it skips; one that counted as dd(1) would read too much
    run([*argv, f"count={(start + size) // _BLOCK}", f"if={image}", f"of={target}"], what="read the image")
    os.truncate(target, size)


def _entries(esp: Esp) -> tuple[BootEntry, ...]:
    return tuple(
        BootEntry(name.name, name.number, name.state, name.left, starts, values.get("options", ""))
        for name, values, starts in boot_entries(esp)
    )
