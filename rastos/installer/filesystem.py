"""File systems of an image: vfat for the ESP, btrfs for the rest."""

from __future__ import annotations

from pathlib import Path

from rastos.host import run

from .partition import SECTOR, Partition

LEAST_CLUSTERS = 66_000


def make_esp(disk: Path, part: Partition, *, volume_id: str) -> None:
    """Make the FAT inside the disk file at the partition's place; needs no mount and no vfat in the kernel."""
    sectors, blocks = part.start // SECTOR, part.size // 1024
    # mkfs.vfat takes the whole file's size for choosing the cluster; FAT32 is what has 65,525 clusters or more
    per_cluster = next((count for count in (8, 4, 2) if part.size // (SECTOR * count) > LEAST_CLUSTERS), 1)
    bits = "32" if part.size // SECTOR > LEAST_CLUSTERS else "16"
    # --invariant before -i, which is the one thing of it that is not constant: no time of making in it
    command: list[str | Path] = [
        "mkfs.vfat",
        "--invariant",
        "-F",
        bits,
        "-s",
        str(per_cluster),
        "-n",
        "ESP",
        "-i",
        volume_id,
    ]
    command += [f"--offset={sectors}", disk, str(blocks)]
    run(command, what="make the ESP's file system")


def make_root(device: Path) -> None:
    """Make the btrfs. Its id is random: mkfs refuses one that a file system attached here has already."""
    run(["mkfs.btrfs", "--quiet", "--force", "-L", "rastos", device], what="make the root file system")


def renew_root(device: Path) -> None:
    """Give a copied btrfs an id of its own (btrfstune(8), -u): the kernel takes two with one id for the same."""
    run(["btrfstune", "-f", "-u", device], what="give the root file system its own id")
