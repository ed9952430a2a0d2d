"""What the disk layout of a profile asks of an image that is made: packages, words of the command line, where its root lies."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.errors import UserError
from rastos.host import copy_file, run, safe_join

from .disk_profile import DataDisk, Disk
from .encryption import HEADER, encrypt_root
from .mirror import write_mirrored
from .partition import Layout

UNITS = Path("usr/lib/systemd/system")
# no Before=local-fs.target: a disk that is missing must not hold up what is local
DATA_MOUNT = """\
[Unit]
Description=Data disk {label}
DefaultDependencies=no
After=local-fs-pre.target systemd-udevd.service
Before=umount.target
Conflicts=umount.target

[Mount]
What=/dev/disk/by-label/{label}
Where={mount}
Type={kind}
Options=noatime
"""


def check_disk(disk: Disk, kind: str, *, uki: bool, on: object) -> None:
    """Whether an image of format `kind` can have this disk layout. Raises UserError."""
    if (disk.luks or disk.raid1 or disk.data) and kind not in ("raw", "qcow2"):
        raise UserError(
            f"an encrypted root, a mirror or data disks can't be written as {kind}",
            on=on,
            next_step="write qcow2 or raw; `rastos image convert` makes others of an encrypted one",
        )
    if uki and disk.bios:
        raise UserError("a BIOS can't start a unified kernel image", on=on, next_step="leave out uki or disk.bios")


def disk_packages(disk: Disk, kind: str) -> tuple[str, ...]:
    """Packages that the system needs for its disk; `kind` of channel: debian or pacman."""
    return (("cryptsetup-bin" if kind == "debian" else "cryptsetup"),) if disk.luks else ()


def disk_words(layout: Layout, disk: Disk, top: Path) -> str:
    """What the kernel command line says of the disk, for the initramfs (docs/disk-layouts.md); `top`: its file system."""
    words = []
    if disk.raid1:
        words += [f"rastos.raid={_file_system_id(top)}", "rastos.degraded"]
    if layout.luks_uuid:
        words.append(f"rastos.luks={layout.luks_uuid}")
    return " ".join([*words, *(["rastos.swap"] if disk.swap else [])])


def make_swap(top: Path, disk: Disk) -> None:
    """The swap file, where one is asked for: on a subvolume of its own, so that no snapshot holds it (btrfs(5), swapfile)."""
    if disk.swap:
        place = top / "state/swap"
        run(["btrfs", "subvolume", "create", place], what="make room for the swap file")
        place.chmod(0o700)
        # uuid: swapon looks for none, and a random one would make two images differ
        words: list[str | Path] = ["btrfs", "filesystem", "mkswapfile", "--size", str(disk.swap), "--uuid", "clear"]
        run([*words, place / "swapfile"], what="make the swap file")


def write_data_mounts(tree: Path, disk: Disk) -> None:
    """A systemd.mount(5) unit for each data disk. A machine without the disk starts all the same, after the usual wait."""
    for item in disk.data:
        unit = UNITS / f"{item.mount.strip('/').replace('-', chr(92) + 'x2d').replace('/', '-')}.mount"
        text = DATA_MOUNT.format(label=item.label, mount=item.mount, kind=item.filesystem)
        place = safe_join(tree, str(unit))
        place.write_text(text, encoding="utf-8")
        place.chmod(0o644)
        wants = safe_join(tree, f"{UNITS}/multi-user.target.wants")
        wants.mkdir(exist_ok=True)
        (wants / unit.name).symlink_to(f"../{unit.name}")


def data_disk_path(output: Path, item: DataDisk) -> Path:
    """Where a data disk's file is: beside the image."""
    return output.with_name(f"{output.stem}-{item.label}{output.suffix}")


def make_data_disks(output: Path, kind: str, disk: Disk, work: Path) -> tuple[Path, ...]:
    """Make those that are not there, as `kind` (raw or qcow2); one that is there holds somebody's data and is left alone."""
    made = []
    for item in disk.data:
        target = data_disk_path(output, item)
        if target.exists():
            continue
        raw = work / f"data-{item.label}.raw"
        with open(raw, "xb") as stream:
            os.truncate(stream.fileno(), item.size)
        words = ["mkfs.ext4", "-q", "-F"] if item.filesystem == "ext4" else ["mkfs.btrfs", "--quiet"]
        run([*words, "-L", item.label, raw], what=f"make the file system of data disk {item.label}")
        result = raw
        if kind != "raw":
            result = raw.with_suffix(f".{kind}")
            run(["qemu-img", "convert", "-f", "raw", "-O", kind, raw, result], what=f"write the {kind}")
        copy_file(result, target)
        made.append(target)
    return tuple(made)


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
