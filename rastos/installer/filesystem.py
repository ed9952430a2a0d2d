"""File systems of an image: vfat for the ESP, btrfs for the rest."""

from __future__ import annotations

from pathlib import Path

from rastos.host import run

from .partition import SECTOR, Partition


def make_esp(disk: Path, part: Partition, *, volume_id: str) -> None:
    """Make the FAT inside the disk file at the partition's place; needs no mount and no vfat in the kernel."""
    sectors, blocks = part.start // SECTOR, part.size // 1024
    bits = "32" if part.size >= 64 << 20 else "16"
    command: list[str | Path] = ["mkfs.vfat", "-F", bits, "-n", "ESP", "-i", volume_id, f"--offset={sectors}", disk, str(blocks)]
    run(command, what="make the ESP's file system")


def make_root(device: Path, *, uuid: str) -> None:
    """Make the btrfs."""
    run(["mkfs.btrfs", "--quiet", "--force", "-L", "rastos", "-U", uuid, device], what="make the root file system")
