"""What has to hold before anything of a deployment is published: parts that belong together, and room for them."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError, IntegrityError
from rastos.kernel import InitramfsPlan, read_config

from .bootentry import ENTRIES, boot_paths, parse_entry, parse_name
from .bootfiles import kernel_command_line
from .recovery import needed
from .state_contract import ALWAYS_SHARED, NEVER
from .store import Store

ESP_RESERVE = 1 << 20  # bytes that stay free for entries and counters
BTRFS_RESERVE = 64 << 20  # bytes: the new /etc, and metadata of a copy-on-write file system
INIT = "usr/lib/rastos/init"
# words of the command line that say which system starts: only the boot entry may
DECIDED = ("root", "rootfstype", "rootflags", "init", "rastos.deployment", "rastos.snapshot", "initrd")
_HEADER, _RELEASE_AT, _MAGIC_AT = 0x200, 0x20E, 0x202  # Documentation/arch/x86/boot.rst: "HdrS", kernel_version


@dataclass(frozen=True, slots=True)
class Prunable:
    """A deployment that may go to make room; `esp` is what the ESP gets back (bytes), kernels shared with others aside."""

    deployment: int
    snapshot: int
    esp: int


def check_kernel(tree: Path, release: str, number: int) -> Path:
    """The kernel file, its modules, their index and the init program belong together; returns the kernel.

    Raises IntegrityError naming what is missing or is another release's.
    """
    if not release:
        raise IntegrityError(f"snapshot {number} has no kernel", next_step="install one in it: `rastos snapshot run`")
    modules = tree / "usr/lib/modules" / release
    for path in (modules / "vmlinuz", modules / "modules.dep", tree / INIT):
        if not path.is_file():
            raise IntegrityError(
                f"snapshot {number} can't boot: {path.relative_to(tree)} is missing",
                next_step="install the kernel and rastos-init packages in it again",
            )
    says = release_of(modules / "vmlinuz")
    if says and says != release:
        raise IntegrityError(
            f"snapshot {number} can't boot: its kernel is {says}, its modules are those of {release}",
            on=modules / "vmlinuz",
            next_step="install the kernel's package in it again",
        )
    return modules / "vmlinuz"


def check_root(tree: Path, release: str, number: int, initramfs: InitramfsPlan | None) -> None:
    """The kernel can read its root: btrfs is built in, or a module of the initramfs. Raises IntegrityError."""
    place = tree / "usr/lib/modules" / release / "config"
    config = read_config(place) if place.is_file() else {}
    if not config or config.get("BTRFS_FS") == "y":
        return
    modules = {item.name for item in initramfs.modules} if initramfs else set()
    if "btrfs" not in modules:
        raise IntegrityError(
            f"snapshot {number} can't boot: btrfs is neither in the kernel nor in its initramfs",
            on=place,
            next_step="build the kernel with BTRFS_FS=y, or as a module with an initramfs",
        )


def check_command_line(store: Store, tree: Path, release: str) -> None:
    """No parameter of the image or the kernel's profile may name another root than the boot entry. IntegrityError."""
    facts = kernel_command_line(tree, release)
    for source, line in (("the kernel's profile", facts), ("the image", str(store.info["cmdline"]))):
        wrong = [word for word in line.split() if word.partition("=")[0] in DECIDED]
        if wrong:
            raise IntegrityError(
                f"the command line of {source} says {' '.join(wrong)}, which only the boot entry may",
                next_step="take that out of the profile",
            )


def check_fstab(store: Store, snapshot: int, text: str) -> None:
    """What fstab(5) of the new /etc must mount is there: mount points on the read-only root, subvolumes of our disk.

    Raises IntegrityError for a line that would stop the boot.
    """
    tree = store.tree(snapshot)
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or line.lstrip().startswith("#"):
            continue
        device, target, kind, options = fields[0], fields[1], fields[2], fields[3].split(",")
        if kind == "swap" or target in ("none", "swap", "/") or {"nofail", "noauto"} & set(options):
            continue
        parts = target.strip("/").split("/")
        if parts[0] not in ALWAYS_SHARED | NEVER and not (tree / target.strip("/")).is_dir():
            raise _fstab(f"mounts on {target}, which snapshot {snapshot} lacks", line)
        ours = device.removeprefix("PARTUUID=").lower() == str(store.info["root_partuuid"]).lower()
        subvolume = next(
            (word.removeprefix("subvol=").strip("/") for word in options if word.startswith("subvol=")), ""
        )
        if ours and subvolume and not (store.top / subvolume).is_dir():
            raise _fstab(f"mounts the subvolume {subvolume}, which is not there", line)


def _fstab(what: str, line: str) -> IntegrityError:
    return IntegrityError(f"fstab {what}", on=line, next_step="correct /etc/fstab, or give that line the option nofail")


def release_of(vmlinuz: Path) -> str:
    """The release a bzImage says it is; "" for files of another kind."""
    with open(vmlinuz, "rb") as stream:
        head = stream.read(0x1000)
        if head[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
            return ""
        (offset,) = struct.unpack_from("<H", head, _RELEASE_AT)
        stream.seek(offset + _HEADER)
        words = stream.read(256).partition(b"\0")[0].decode("ascii", "replace").split()
    return words[0] if words else ""


def check_space(store: Store, kernel: int) -> tuple[str, bool]:
    """("", False) where there is room; else what is short, in words, and whether it is the ESP. `kernel`: bytes for it."""
    free = store.esp.free()
    if free < kernel + ESP_RESERVE:
        return f"the ESP has {_mib(free)} MiB free, {_mib(kernel + ESP_RESERVE)} MiB are needed", True
    status = os.statvfs(store.top)
    have = status.f_bavail * status.f_frsize
    if have < BTRFS_RESERVE:
        return f"the file system has {_mib(have)} MiB free, {_mib(BTRFS_RESERVE)} MiB are needed", False
    return "", False


def plan_room(store: Store, kernel: int, *, prune: bool) -> tuple[Prunable, ...]:
    """Which deployments go to make room for a kernel of so many bytes; () where there is enough.

    Raises HostError: too little even then, or `prune` was not asked for; the error names what would go.
    """
    what, esp = check_space(store, kernel)
    if not what:
        return ()
    short = kernel + ESP_RESERVE - store.esp.free() if esp else 0
    chosen: list[Prunable] = []
    for number in sorted(item.number for item in store.deployments() if item.number not in needed(store)):
        if esp and sum(item.esp for item in chosen) >= short:
            break
        chosen.append(_prunable(store, number, {item.deployment for item in chosen} | {number}))
    names = ", ".join(f"{item.deployment} (snapshot {item.snapshot})" for item in chosen)
    enough = bool(chosen) and (not esp or sum(item.esp for item in chosen) >= short)
    if enough and prune:
        return tuple(chosen)
    if enough:
        step = f"`--prune` would drop deployments {names}; the last good one and the next stay"
    elif esp:
        step = "every deployment on it is needed: delete a snapshot with another kernel, or make a larger image"
    else:
        step = "delete snapshots (`rastos snapshot delete`), or make the image larger"
    raise HostError(what, on=names and f"deployments {names} could go" if enough else "", next_step=step)


def _prunable(store: Store, number: int, going: set[int]) -> Prunable:
    """What the ESP gets back with this deployment, given those that go with it."""
    theirs: set[str] = set()
    others: set[str] = set()
    for name, text in store.esp.read_all(ENTRIES).items():
        entry = parse_name(name)
        paths = set(boot_paths(parse_entry(text.decode(errors="replace"))))
        if entry is not None and entry.number in going:
            theirs |= paths if entry.number == number else set()
        elif entry is not None:
            others |= paths
    esp = sum(len(store.esp.read(path)) for path in theirs - others if store.esp.exists(path))
    return Prunable(number, store.deployment(number).snapshot, esp)


def _mib(size: int) -> int:
    return -(-size >> 20) if size < 0 else (size + (1 << 20) - 1) >> 20
