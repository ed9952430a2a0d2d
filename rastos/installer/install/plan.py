"""The plan of an installation: which disk, what is lost on it, what comes onto it. Checks all that could stop it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rastos.errors import BusyError, UserError
from rastos.host import read_json
from rastos.progress import Progress
from rastos.snapshot import Store, measured_sizes

from ..disk_profile import Disk as PlainLayout
from ..image import ImagePlan
from ..open import MANIFEST
from ..partition import Layout, plan_layout
from ..profile import ImageProfile
from .disks import FoundDisk, read_disk

SPARE = 512 << 20  # for the first changes of a system, and for what btrfs keeps for itself
FORMATS = (".qcow2", ".vmdk", ".vdi", ".vhdx")  # no disk can be found in them without their own driver


@dataclass(frozen=True, slots=True)
class Medium:
    """A snapshot that is copied onto the disk: `size` are its bytes on disk, `made` what its own disk says of its making."""

    snapshot: int
    uuid: str
    description: str
    kernel: str
    packages: int
    size: int
    made: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation will do: nothing of it has happened yet. `needed`: bytes the disk must have.

    Either a `medium` is copied or `packages` are installed. `new`: the file is to be made.
    """

    disk: FoundDisk
    profile: ImageProfile
    layout: Layout
    needed: int
    medium: Medium | None = None
    packages: ImagePlan | None = None
    new: bool = False

    @property
    def erases(self) -> bool:
        """Whether something on the disk is lost, which somebody has to say that he means."""
        return not self.disk.empty

    def confirmed(self, word: str) -> bool:
        """Whether a word means this disk: its name, its path or its serial."""
        return bool(word) and word in (self.disk.name, str(self.disk.path), self.disk.serial)

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        source: dict[str, Any] = {}
        if self.medium is not None:
            source = {"snapshot": self.medium.uuid, "description": self.medium.description}
        elif self.packages is not None:
            source = {"packages": len(self.packages.packages.install)}
        return {
            "disk": self.disk.to_json(),
            "erases": self.erases,
            "new": self.new,
            "needed": self.needed,
            "hostname": self.profile.hostname,
            "profile": self.profile.name,
            "esp": self.layout.esp.size,
            "root": self.layout.root.size,
            "source": source,
        }


def file_to_make(path: Path, size: int) -> FoundDisk:
    """The disk that an image file will be. Raises UserError where it can't be one."""
    if path.suffix in FORMATS:
        raise UserError(
            f"an installation writes a raw disk, not {path.suffix[1:]}",
            on=path,
            next_step="name it .raw; `qemu-img convert` makes another format of it",
        )
    if path.exists():
        return read_disk(path)
    if not path.absolute().parent.is_dir():
        raise UserError("there is no such folder", on=path.absolute().parent, next_step="make it, or name another file")
    return FoundDisk(path.absolute(), "image", size)


def medium_of(store: Store, reference: int | str, *, cache: Path, progress: Progress) -> Medium:
    """What copying a snapshot comes to. Raises UserError where it has no kernel, or isn't there."""
    item = store.snapshot(reference)
    if not item.kernel:
        raise UserError(
            f"snapshot {item.id} has no kernel, nothing could boot it",
            next_step="install one in it, or name another snapshot: --snapshot ID",
        )
    size = measured_sizes(store, cache, progress)[item.id].total
    made = read_json(store.top / MANIFEST) if (store.top / MANIFEST).is_file() else {}
    return Medium(item.id, item.uuid, item.description, item.kernel, item.packages, size, made)


def plan_copy_to(disk: FoundDisk, profile: ImageProfile, medium: Medium) -> InstallPlan:
    """Copy a snapshot onto a disk and make it the machine that the profile describes.

    Raises BusyError (the disk is in use), UserError (write-protected, too small: how much is needed).
    """
    _check_use(disk)
    _check_layout(profile)
    # its kernels go onto the ESP; the rest is compressed again as it was
    needed = profile.esp + medium.size + medium.size // 4 + SPARE
    _check_size(disk, needed)
    layout = plan_layout(disk.size, profile.esp, seed=str(uuid.uuid4()))
    return InstallPlan(disk, profile, layout, needed, medium=medium, new=not disk.path.exists())


def plan_packages_to(disk: FoundDisk, packages: ImagePlan) -> InstallPlan:
    """Install an image's packages onto a disk instead; `packages` was planned for its size. Raises as `plan_copy_to`."""
    _check_use(disk)
    _check_layout(packages.profile)
    needed = packages.profile.esp + packages.packages.installed_size + SPARE
    _check_size(disk, needed)
    layout = plan_layout(disk.size, packages.profile.esp, seed=str(uuid.uuid4()))
    packages = replace(packages, layout=layout)
    return InstallPlan(disk, packages.profile, layout, needed, packages=packages, new=not disk.path.exists())


def _check_use(disk: FoundDisk) -> None:
    if disk.used_by:
        raise BusyError(
            "the disk is in use",
            on=disk.path,
            holder="; ".join(disk.used_by),
            next_step="choose another one: rastos install --list; or unmount it, if this system does not run from it",
        )
    if disk.read_only:
        raise UserError("the disk is write-protected", on=disk.path, next_step="unlock it, or choose another one")


def _check_layout(profile: ImageProfile) -> None:
    """Nobody who asks for an encrypted disk may get a plain one without a word."""
    plain = PlainLayout()
    asked = [item.name for item in fields(plain) if getattr(profile.disk, item.name) != getattr(plain, item.name)]
    if asked:
        raise UserError(
            f"an installation does not do what [disk] of the profile asks for: {', '.join(asked)}",
            on=profile.path,
            next_step="make an image with it (`rastos image create`) and write that onto the disk, or leave it out",
        )


def _check_size(disk: FoundDisk, needed: int) -> None:
    if disk.size < needed:
        raise UserError(
            f"the disk has {disk.size >> 20} MiB, {-(-needed >> 20)} MiB are needed",
            on=disk.path,
            next_step="choose a larger one" + (": --size" if disk.kind == "image" else ", or a smaller system"),
        )
