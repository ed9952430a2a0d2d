"""What is mounted where: fstab(5), mount points, /tmp in memory, the package database's place."""

from __future__ import annotations

import os
from pathlib import Path

from ..partition import Partition
from .writing import UNITS, link, write

# what is mounted before or by systemd can't be made later: the root is read-only
MOUNT_POINTS = {"efi": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777}
MOUNT_POINTS |= {"etc": 0o755, "var": 0o755, "home": 0o755, "root": 0o700, "srv": 0o755}


def mount_points(tree: Path) -> None:
    """Folders that no package brings."""
    for name, mode in MOUNT_POINTS.items():
        if not (tree / name).exists():
            (tree / name).mkdir()
            (tree / name).chmod(mode)


def write_storage(tree: Path, esp: Partition) -> None:
    """The ESP as an automount; everything else is mounted before systemd starts."""
    write(
        tree,
        "etc/fstab",
        "# The root, /etc and the state are mounted before systemd starts, by /usr/lib/rastos/init.\n"
        f"PARTUUID={esp.uuid} /efi vfat umask=0077,noauto,nofail,x-systemd.automount,x-systemd.idle-timeout=60 0 0\n",
    )
    # pacman(8) looks in /var/lib/pacman; the database belongs to the snapshot
    if not os.path.lexists(tree / "var/lib/pacman"):
        link(tree, "var/lib/pacman", "../../usr/lib/sysimage/pacman")
    _temporary(tree)


def _temporary(tree: Path) -> None:
    """/tmp in memory: the root can't be written, and systemd builds the private /dev of its services there."""
    shipped = tree / "usr/share/systemd/tmp.mount"  # Debian's place for it; elsewhere it is a unit already
    unit = tree / UNITS / "tmp.mount"
    if shipped.is_file() and not unit.exists():
        write(tree, f"{UNITS}/tmp.mount", shipped.read_text(encoding="utf-8"))
    if unit.exists():
        link(tree, f"{UNITS}/local-fs.target.wants/tmp.mount", "../tmp.mount")
