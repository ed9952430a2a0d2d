"""GPT by sfdisk: an ESP and a root, typed as the Discoverable Partitions Specification says."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import digest_of, run

SECTOR = 512
ALIGN = 1 << 20
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # root, x86-64
LEAST_ROOT = 256 << 20
LEAST_ESP = 32 << 20  # the loader and two kernels


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: `start` and `size` in bytes, type and own GUID."""

    number: int
    start: int
    size: int
    type: str
    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The disk: its size in bytes, and its two partitions."""

    size: int
    disk_uuid: str
    esp: Partition
    root: Partition
    bios: bool = False  # a BIOS starts from the ESP
    luks_uuid: str = ""  # of the volume in the root partition, where it is to be encrypted

    def script(self) -> str:
        """As sfdisk(8) reads it."""
        lines = ["label: gpt", f"label-id: {self.disk_uuid}", f"first-lba: {ALIGN // SECTOR}", ""]
        for part in (self.esp, self.root):
            lines.append(
                f"start={part.start // SECTOR}, size={part.size // SECTOR}, type={part.type}, "
                f'uuid={part.uuid}, name="{part.name}"'
                # what a BIOS's first program looks for (UEFI 2.10, 5.3.3: attribute bit 2)
                + (', attrs="LegacyBIOSBootable"' if self.bios and part is self.esp else "")
            )
        return "\n".join([*lines, ""])


def plan_layout(
    size: int, esp_size: int, *, seed: str, luks: bool = False, bios: bool = False, raid1: bool = False
) -> Layout:
    """Lay out a disk of `size` bytes; the GUIDs follow from `seed`, so the same inputs give the same disk.

    Raises UserError when it is too small.
    """
    if esp_size < LEAST_ESP:
        raise UserError(
            f"an ESP of {esp_size >> 20} MiB is too small",
            next_step=f'set esp to "{LEAST_ESP >> 20}M" at least in the image profile; 256M holds a dozen kernels',
        )
    end = (size - ALIGN) // ALIGN * ALIGN
    esp = Partition(1, ALIGN, esp_size // ALIGN * ALIGN, ESP_TYPE, _guid(seed, "esp"), "esp")
    start = esp.start + esp.size
    root = Partition(2, start, end - start, ROOT_TYPE, _guid(seed, "root"), "root-1-of-2" if raid1 else "root")
    if root.size < LEAST_ROOT:
        raise UserError(
            f"an image of {size >> 20} MiB leaves {max(0, root.size) >> 20} MiB for the root",
            next_step=f"make it larger: --size {(esp_size + LEAST_ROOT >> 20) + 64}M at least",
        )
    return Layout(size, _guid(seed, "disk"), esp, root, bios, _guid(seed, "luks") if luks else "")


def write_layout(disk: Path, layout: Layout) -> None:
    """Write the partition table into a file or device."""
    run(["sfdisk", "--quiet", "--no-reread", disk], stdin=layout.script(), what="partition the image")


def read_layout(disk: Path, *, name: Path | None = None) -> tuple[Partition, ...]:
    """The partitions of a disk, called `name` in errors. Raises UserError where there is no GPT."""
    done = run(["sfdisk", "--json", disk], check=False)
    table = json.loads(done.stdout).get("partitiontable", {}) if done.status == 0 and done.stdout else {}
    if table.get("label") != "gpt":
        raise UserError(
            "this is not a disk image with a GPT", on=name or disk, next_step="make one: `rastos image create`"
        )
    return tuple(
        Partition(
            number,
            item["start"] * SECTOR,
            item["size"] * SECTOR,
            item["type"].upper(),
            item["uuid"].lower(),
            item.get("name", ""),
        )
        for number, item in enumerate(table.get("partitions", []), start=1)
    )


def _guid(seed: str, what: str) -> str:
    return str(uuid.UUID(digest_of(seed, what)[:32], version=4))
