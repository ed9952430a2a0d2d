"""A disk as Arch's installers leave it: an ESP with systemd-boot, and one btrfs with @, @home, @log and @pkg, or flat."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rastos.host import attached, mounted, run
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.partition import Layout, plan_layout, write_layout
from rastos.snapshot import MtoolsEsp

LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
VOLUMES = {"@": "", "@home": "home", "@log": "var/log", "@pkg": "var/cache/pacman/pkg", "@.snapshots": ".snapshots"}
LOADER = "default arch.conf\ntimeout 3\n"


def arch_disk(path: Path, tree: Path, *, size: int, esp: int, kernel: Path, words: str, flat: bool = False) -> Layout:
    """Write such a disk from a tree of pacman packages whose database may be where rastos keeps it; `words`: parameters."""
    layout = plan_layout(size, esp, seed="arch")
    with open(path, "xb") as stream:
        stream.truncate(size)
    write_layout(path, layout)
    run(["sfdisk", "--quiet", "--no-reread", "--part-type", path, "2", LINUX])
    make_esp(path, layout.esp, volume_id="ABCD1234")
    top = path.with_suffix(".top")
    top.mkdir()
    with attached(path, offset=layout.root.start, size=layout.root.size) as device:
        make_root(device)
        with mounted(device, top, "btrfs", ("compress=zstd:1",)):
            for name in VOLUMES if not flat else ():
                run(["btrfs", "subvolume", "create", top / name])
            root = top if flat else top / "@"
            run(["cp", "--archive", f"{tree}/.", root])
            _as_arch(root, layout, flat=flat)
            if not flat:
                _spread(top)
    files = MtoolsEsp(path, layout.esp.start, layout.esp.size)
    loader = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
    for place in ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"):
        files.write(place, loader.read_bytes() + b"of arch")
    files.write("/loader/loader.conf", LOADER.encode())
    flags = "" if flat else " rootflags=subvol=@"
    options = f"root=PARTUUID={layout.root.uuid}{flags} rw {words}"
    files.write("/loader/entries/arch.conf", f"title Arch\nlinux /vmlinuz-linux\noptions {options}\n".encode())
    files.write("/vmlinuz-linux", kernel)
    top.rmdir()
    return layout


def _as_arch(root: Path, layout: Layout, *, flat: bool) -> None:
    for name in (
        "home",
        "root",
        "srv",
        "boot",
        "efi",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "var/log",
        "var/cache/pacman/pkg",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    database = root / "var/lib/pacman"
    if database.is_symlink():
        database.unlink()
    if (root / "usr/lib/sysimage/pacman").is_dir():
        shutil.move(root / "usr/lib/sysimage/pacman", database)
    lines = [f"PARTUUID={layout.esp.uuid} /boot vfat rw,nofail 0 2", "tmpfs /scratch tmpfs nofail 0 0"]
    if flat:
        lines.append(f"PARTUUID={layout.root.uuid} / btrfs rw 0 0")
    else:
        for name, target in VOLUMES.items():
            lines.append(f"PARTUUID={layout.root.uuid} /{target} btrfs rw,subvol=/{name} 0 0")
            (root / target).mkdir(parents=True, exist_ok=True)
    (root / "etc/fstab").write_text("# by genfstab\n" + "\n".join(lines) + "\n")
    (root / "var/lib/machine-state").write_text("of this machine\n")
    (root / "home/kim").mkdir()
    (root / "home/kim/letter").write_text("dear\n")


def _spread(top: Path) -> None:
    """What lies below a mount point belongs to the subvolume mounted there."""
    for name, target in VOLUMES.items():
        if not target:
            continue
        for path in sorted((top / "@" / target).iterdir()):
            run(["cp", "--archive", path, top / name])
            run(["rm", "-r", path])
    (top / "@log/old.log").write_text("yesterday\n")
    (top / "@pkg/some.pkg").write_text("package\n")
    os.sync()
