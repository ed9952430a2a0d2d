"""Looking into an image without changing it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.host import read_json
from rastos.snapshot import Deployment, Snapshot, Store

from .open import MANIFEST, open_image
from .partition import Partition


@dataclass(frozen=True, slots=True)
class BootEntry:
    """A boot entry: its file name, deployment, state (new, good, bad) and tries left."""

    name: str
    deployment: int
    state: str
    tries_left: int | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an image holds; sizes in bytes."""

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


def inspect_image(path: Path) -> Inspection:
    """Read everything there is to tell. Raises what `open_image` raises."""
    with open_image(path, writable=False, purpose="inspect") as image:
        store = Store.open(image.top, image.esp, writable=False)
        entries = tuple(BootEntry(entry.name, entry.number, entry.state, entry.left) for entry in store.entries())
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
            entries=entries,
            next=current.number if current else None,
            esp_free=image.esp.free(),
            esp_size=image.esp.size(),
            root_used=(status.f_blocks - status.f_bfree) * status.f_frsize,
            root_size=status.f_blocks * status.f_frsize,
            cmdline=store.info["cmdline"],
            made=read_json(image.top / MANIFEST) if (image.top / MANIFEST).is_file() else {},
        )
