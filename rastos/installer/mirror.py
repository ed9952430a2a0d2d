"""A root on two disks (btrfs RAID1): two image files, NAME and NAME-2, each with an ESP of its own.

The names of the root partitions say that they belong together; the second ESP is a copy of the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rastos.errors import UserError
from rastos.host import attached, copy_file, mounted, run

from .partition import ESP_TYPE, Layout, Partition, plan_layout, write_layout

ROOTS = ("root-1-of-2", "root-2-of-2")
_CHUNK = 4 << 20


def second_of(path: Path) -> Path:
    """Where the second disk of an image is: beside it."""
    return path.with_name(f"{path.stem}-2{path.suffix}")


def is_mirrored(partitions: Iterable[Partition]) -> bool:
    """Whether these are the partitions of one disk of two."""
    return any(part.name in ROOTS for part in partitions)


def require_second(path: Path) -> Path:
    """The second disk's file. Raises UserError where it is missing."""
    second = second_of(path)
    if not second.is_file():
        raise UserError(
            "the second disk of this mirror is missing",
            on=second,
            next_step=f"put it beside {path.name}; a machine boots with one of them, changes need both",
        )
    return second


def mirror_disk(image: Path, work: Path) -> Path | None:
    """The second disk of an image that is one of two; None for all others. Needs no root. Raises UserError: it is missing."""
    head = work / "head"
    words: list[str | Path] = ["qemu-img", "dd", "-O", "raw", "bs=4096", "count=16", f"if={image}", f"of={head}"]
    run(words, what="read the partition table")
    # UEFI 2.10, 5.3.3: entries of 128 bytes from the third sector on, the name of each in UTF-16 at byte 56
    table = head.read_bytes()[1024 : 1024 + 2 * 128]
    names = [table[at + 56 : at + 128].decode("utf-16-le", "replace").rstrip("\0") for at in (0, 128)]
    return require_second(image) if ROOTS[0] in names else None


def write_mirrored(plain: Path, kind: str, layout: Layout, seed: str, work: Path, output: Path) -> None:
    """Make two disks of a raw image's one, as `kind` (raw or qcow2); the first gets its name last."""
    disks = work / "first.raw", work / "second.raw"
    copy_file(plain, disks[0])
    other = plan_layout(layout.size, layout.esp.size, seed=f"{seed} 2", bios=layout.bios)
    other = replace(other, root=replace(other.root, name=ROOTS[1]))
    with open(disks[1], "xb") as stream:
        os.truncate(stream.fileno(), layout.size)
    write_layout(disks[1], other)
    _mirror(disks, layout, other, work)
    copy_esp(disks[0], layout.esp, disks[1], other.esp)
    _copy_first_program(*disks)
    for disk, target in ((disks[1], second_of(output)), (disks[0], output)):
        result = disk
        if kind != "raw":
            result = disk.with_suffix(f".{kind}")
            run(["qemu-img", "convert", "-f", "raw", "-O", kind, "-W", disk, result], what=f"write the {kind}")
        copy_file(result, target)


def _mirror(disks: tuple[Path, Path], first: Layout, second: Layout, work: Path) -> None:
    place = work / "mirror"
    place.mkdir()
    with (
        attached(disks[0], offset=first.root.start, size=first.root.size) as one,
        attached(disks[1], offset=second.root.start, size=second.root.size) as two,
        mounted(one, place, "btrfs", ("noatime", "subvolid=5")) as top,
    ):
        run(["btrfs", "device", "add", "--force", "--nodiscard", two, top], what="add the second disk")
        words = ["btrfs", "balance", "start", "-dconvert=raid1", "-mconvert=raid1"]
        run([*words, top], what="mirror the root on both disks")
        run(["fstrim", top], what="give back what moved")


def copy_esp(source: Path, part: Partition, target: Path, other: Partition) -> None:
    """Bring the ESP of one raw disk to another, durably; holes are left out where both are holes."""
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        for offset in range(0, part.size, _CHUNK):
            size = min(_CHUNK, part.size - offset)
            new = os.pread(reader.fileno(), size, part.start + offset)
            if os.pread(writer.fileno(), size, other.start + offset) != new:
                os.pwrite(writer.fileno(), new, other.start + offset)
        os.fsync(writer.fileno())


def _copy_first_program(source: Path, target: Path) -> None:
    """What a BIOS starts: the code before the table in the first sector."""
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        writer.write(reader.read(440))


def esp_of(partitions: Iterable[Partition]) -> Partition:
    """The ESP among a disk's partitions."""
    return next(part for part in partitions if part.type == ESP_TYPE)
