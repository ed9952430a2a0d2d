"""What the disk layout of a profile asks of an image that is made: packages, words of the command line, where its root lies."""

from __future__ import annotations

from pathlib import Path

from rastos.host import copy_file, run

from .disk_profile import Disk
from .encryption import HEADER, encrypt_root
from .mirror import write_mirrored
from .partition import Layout


def disk_packages(disk: Disk, kind: str) -> tuple[str, ...]:
    """Packages that the system needs for its disk; `kind` of channel: debian or pacman."""
    return (("cryptsetup-bin" if kind == "debian" else "cryptsetup"),) if disk.luks else ()


def disk_words(layout: Layout, disk: Disk, top: Path) -> str:
    """What the kernel command line says of the disk, for the initramfs (docs/disk-layouts.md); `top`: its file system."""
    if disk.raid1:
        return f"rastos.raid={_file_system_id(top)} rastos.degraded"
    return f"rastos.luks={layout.luks_uuid}" if layout.luks_uuid else ""


def _file_system_id(top: Path) -> str:
    told = run(["btrfs", "filesystem", "show", top], what="read the root's id").stdout
    return told.partition("uuid: ")[2].split()[0]


def kept_format(disk: Disk, kind: str) -> str:
    """How an image is kept in the cache that is made into its disk, or disks, from there."""
    return "raw" if disk.luks or disk.raid1 else kind


def root_place(layout: Layout) -> tuple[int, int]:
    """Where the root's file system lies on the disk, and its size, in bytes."""
    room = HEADER if layout.luks_uuid else 0
    return layout.root.start + room, layout.root.size - room


def write_encrypted(plain: Path, kind: str, layout: Layout, passphrase: bytes, work: Path, output: Path) -> None:
    """Copy a raw image made in the clear to `output` with its root encrypted, as `kind` (raw or qcow2), in one step at the end.

    The holes of `plain` have to be those that the file system left: a block of zeros is content, and has to be encrypted.
    """
    disk, result = work / "encrypted.raw", work / f"encrypted.{kind}"
    copy_file(plain, disk)
    encrypt_root(disk, layout.root, layout.luks_uuid, passphrase, work)
    if kind != "raw":
        run(["qemu-img", "convert", "-f", "raw", "-O", kind, "-W", disk, result], what=f"write the {kind}")
        disk.unlink()
    copy_file(result, output)


def write_disks(
    kept: Path, kind: str, layout: Layout, disk: Disk, *, seed: str, passphrase: bytes | None, work: Path, output: Path
) -> None:
    """Write what the cache keeps to its output, as this disk layout wants it."""
    if disk.luks and passphrase is not None:
        write_encrypted(kept, kind, layout, passphrase, work, output)
    elif disk.raid1:
        write_mirrored(kept, kind, layout, seed, work, output)
    else:
        copy_file(kept, output)
