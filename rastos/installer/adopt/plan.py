"""The plan of an adoption: which subvolume becomes what, and what of the old system stays where it is."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json
from rastos.package import read_local
from rastos.snapshot import Esp, foreign_subvolumes, is_foreign_root, kernels_in

from .opening import ForeignDisk

FOLDER = "adopted"  # at the top level: the record of it, and what was on the ESP before
RECORD = f"{FOLDER}/record.json"
DATABASES = ("var/lib/pacman", "usr/lib/sysimage/pacman")
STATE = ("var", "home", "root", "srv")
ENTRIES = "/loader/entries"
# what a boot entry of ours says itself
OWN_WORDS = (
    "root=",
    "rootflags=",
    "rootfstype=",
    "init=",
    "initrd=",
    "rastos.",
    "cryptdevice=",
    "resume=",
    "resume_offset=",
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """One subvolume of the old system, and what it becomes: a path in the state, "snapshot", or "" (it is left alone)."""

    subvolume: str
    becomes: str


@dataclass(frozen=True, slots=True)
class AdoptPlan:
    """What an adoption will do: nothing of it has happened yet.

    `subvolume`: the old root ("": the top level itself). `fstab`: lines that are kept; `gone`: those for what is mounted
    before systemd starts now. `anew`: an adoption that died is undone first.
    """

    disk: Path
    subvolume: str
    adoptions: tuple[Adoption, ...]
    kernel: str
    packages: int
    loader: str
    cmdline: str
    fstab: tuple[str, ...]
    gone: tuple[str, ...]
    part_type: str
    anew: bool = False

    @property
    def state(self) -> dict[str, str]:
        """Path in the state → subvolume."""
        return {item.becomes: item.subvolume for item in self.adoptions if item.becomes not in ("", "snapshot")}

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "disk": str(self.disk)}


def plan_adopt(foreign: ForeignDisk) -> AdoptPlan:
    """Look at a disk and work out how its system becomes a snapshot.

    Raises UserError: it is adopted already, there is no pacman system, or no kernel in it.
    """
    top = foreign.top
    anew = _begun(foreign)
    every = foreign_subvolumes(top)
    root = _root(foreign, every)
    tree = top / root
    database = next((tree / name for name in DATABASES if (tree / name / "local").is_dir()), None)
    packages = read_local(database) if database else {}
    if not packages:
        raise UserError(
            "this is no system of pacman packages",
            on=f"{foreign.disk.path}: {root or '/'}",
            next_step="only those can be adopted",
        )
    kernels = kernels_in(tree)
    if not kernels:
        raise UserError(
            "the system has no kernel below usr/lib/modules",
            on=foreign.disk.path,
            next_step="install one there (pacman -S linux), then adopt it",
        )
    text = (tree / "etc/fstab").read_text(errors="replace")
    kept, gone, targets = _fstab(text)
    adoptions = [Adoption(root, "snapshot")]
    for path in every:
        if path != root:
            adoptions.append(Adoption(path, targets.get(path, "")))
    return AdoptPlan(
        disk=foreign.disk.path,
        subvolume=root,
        adoptions=tuple(adoptions),
        kernel=kernels[0].release,
        packages=len(packages),
        loader=_loader(foreign.files),
        cmdline=_cmdline(foreign.files, tree),
        fstab=kept,
        gone=gone,
        part_type=str(read_json(top / RECORD)["part_type"]) if anew else foreign.root.type,
        anew=anew,
    )


def _begun(foreign: ForeignDisk) -> bool:
    place = foreign.top / RECORD
    if place.is_file():
        try:
            if read_json(place)["state"] == "begun":
                return True
        except (IntegrityError, KeyError, TypeError):
            pass
    if (foreign.top / "snapshots").exists() or (foreign.top / "store.json").exists():
        raise UserError(
            "there is a rastos store on this disk already",
            on=foreign.disk.path,
            next_step="`rastos adopt --undo` goes back; `rastos adopt --forget` drops what does not boot",
        )
    return False


def _root(foreign: ForeignDisk, every: tuple[str, ...]) -> str:
    """Which subvolume is the root: what a boot entry says, else what looks like one, with the usual names first."""
    top = foreign.top
    said: list[str] = []
    for text in _entries(foreign.files).values():
        said += re.findall(r"subvol=/?([^\s,]+)", text.decode(errors="replace"))
    candidates = dict.fromkeys([*said, "@", "root", "", *(path for path in every if "/" not in path)])
    for path in candidates:
        if is_foreign_root(top, path):
            return path
    raise UserError(
        "no subvolume holds a system (etc/fstab and usr/lib)",
        on=foreign.disk.path,
        next_step=f"there are: {', '.join(every) or 'none'}",
    )


def _fstab(text: str) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Lines kept, lines gone, and subvolume → path in the state, from fstab(5)."""
    kept, gone, targets = [], [], {}
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#") or len(fields) < 4:
            continue
        target, kind = fields[1].strip("/"), fields[2]
        volume = next(
            (word.removeprefix("subvol=").strip("/") for word in fields[3].split(",") if word.startswith("subvol=")), ""
        )
        if kind == "btrfs" and (volume or not target):
            gone.append(line)
            if target.split("/")[0] in STATE:
                targets[volume] = target
        elif kind == "vfat" and target in ("boot", "efi", "boot/efi"):
            gone.append(line)
        else:
            kept.append(line)
    return tuple(kept), tuple(gone), targets


def _entries(files: Esp) -> dict[str, bytes]:
    """The old system's boot entries: an adoption that died may have left one of ours."""
    return {name: text for name, text in files.read_all(ENTRIES).items() if not name.startswith("rastos-")}


def _loader(files: Esp) -> str:
    if files.exists("/EFI/systemd/systemd-bootx64.efi") or files.exists("/loader/loader.conf"):
        return "systemd-boot"
    grub = any(files.exists(place) for place in ("/grub", "/EFI/grub", "/EFI/GRUB", "/EFI/arch/grubx64.efi"))
    return "grub" if grub else "unknown"


def _cmdline(files: Esp, tree: Path) -> str:
    """The old system's kernel parameters, without those that each deployment gets of its own."""
    words: list[str] = []
    for name, data in sorted(_entries(files).items()):
        found = re.search(r"^options\s+(.*)$", data.decode(errors="replace"), re.MULTILINE)
        if found and "fallback" not in name:
            words = found[1].split()
            break
    grub = tree / "etc/default/grub"
    if not words and grub.is_file():
        text = grub.read_text(errors="replace")
        for key in ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"):
            value = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
            words += " ".join(shlex.split(value[1], comments=True)).split() if value else []
    return " ".join(word for word in words if word not in ("ro", "rw") and not word.startswith(OWN_WORDS))
