"""A disk that another installer made: its ESP and its btrfs, found by what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import BusyError, UserError
from rastos.host import attached, claimed_disk, in_memory, mounted, require_root
from rastos.snapshot import Esp, MtoolsEsp

from ..install.disks import FoundDisk, read_disk
from ..open import OPTIONS, image_lock
from ..partition import ESP_TYPE, Partition, read_layout


@dataclass(frozen=True, slots=True)
class ForeignDisk:
    """An opened disk: `top` is the btrfs top level, `esp` and `root` are its partitions."""

    disk: FoundDisk
    top: Path
    files: Esp
    esp: Partition
    root: Partition


@contextmanager
def open_foreign(path: Path, *, writable: bool, purpose: str) -> Iterator[ForeignDisk]:
    """Open such a disk, or a raw image of one, for the length of the block.

    Raises UserError (no GPT, no ESP, no btrfs or several), BusyError (in use), HostError (not root).
    """
    require_root("open a disk")
    disk = read_disk(path)
    if disk.used_by:
        raise BusyError(
            "the disk is in use",
            on=disk.path,
            holder="; ".join(disk.used_by),
            next_step="start the machine from the live medium, and adopt it from there",
        )
    esp, root = _partitions(disk)
    with ExitStack() as stack:
        if disk.kind == "image":
            stack.enter_context(image_lock(disk.path, purpose, shared=not writable))
        elif writable:
            stack.enter_context(claimed_disk(disk.path))
        place = stack.enter_context(in_memory("adopt"))
        read_only = not writable
        fat = stack.enter_context(attached(disk.path, offset=esp.start, size=esp.size, read_only=read_only))
        device = stack.enter_context(attached(disk.path, offset=root.start, size=root.size, read_only=read_only))
        (place / "top").mkdir()
        top = stack.enter_context(mounted(device, place / "top", "btrfs", OPTIONS, read_only=read_only))
        yield ForeignDisk(disk, top, MtoolsEsp(fat, 0, esp.size), esp, root)


def _partitions(disk: FoundDisk) -> tuple[Partition, Partition]:
    found = {part.start: part for part in read_layout(disk.path)}
    esps = [part for part in found.values() if part.type == ESP_TYPE]
    roots = [found[part.start] for part in disk.parts if part.content == "btrfs" and part.start in found]
    if not esps:
        raise UserError(
            "the disk has no EFI system partition",
            on=disk.path,
            next_step="rastos boots by UEFI: make room for an ESP of 256 MiB (type uefi), then adopt the disk",
        )
    if len(roots) != 1:
        contents = ", ".join(part.content or "unknown" for part in disk.parts)
        raise UserError(
            f"one btrfs was expected on the disk, there are {len(roots)}",
            on=disk.path,
            next_step=f"it holds: {contents}; encrypted roots and several btrfs can't be adopted",
        )
    return esps[0], roots[0]
