"""What the initramfs of a kernel in a tree holds: the modules that may find and mount its root, and what those need.

It is made where modules could be needed before there is a root: a kernel with everything built in gets none.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import digest_of, read_json, sha256_file
from rastos.kernel.config_file import read_config

from .modules import ModuleIndex, firmware_of, read_modules
from .programs import program_files

FORMAT = "1"  # raised whenever the same inputs would give other bytes
PROGRAM = "usr/lib/rastos/initramfs"  # from the rastos-init package
FACTS = "rastos.json"  # beside vmlinuz: what the kernel's profile asks for

# what may have to be loaded to see a disk; each is loaded only where its device is there
DEVICES = (
    *("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "nvme", "ahci", "sd_mod", "vmd"),
    *("xhci_pci", "ehci_pci", "usb_storage", "uas", "mmc_block", "sdhci_pci", "sdhci_acpi"),
)
# what reads the root: loaded always, as no device asks for it; btrfs names its checksums as soft dependencies only
ROOT = ("btrfs", "crc32c_intel", "crc32c_generic", "xxhash_generic", "blake2b_generic", "sha256_generic")
UNLOCKER = "usr/sbin/cryptsetup"
# what an encrypted root needs besides, as far as it is modular
CRYPTOGRAPHY = ("dm_crypt", "xts", "aesni_intel", "aes_generic", "cbc", "essiv", "algif_skcipher", "sha256_ssse3")
_MICROCODE = {"GenuineIntel.bin": "intel-ucode", "AuthenticAMD.bin": "amd-ucode"}


@dataclass(frozen=True, slots=True)
class InitramfsModule:
    """A module in it; `path` relative to usr/lib/modules/<release>, `size` in bytes as it lies in the tree."""

    name: str
    path: str
    size: int
    always: bool


@dataclass(frozen=True, slots=True)
class InitramfsPlan:
    """What one initramfs holds. `key` names its content, `size` is the most it will take (bytes).

    `builtin` are the modules that were wanted and are in the kernel, `missing` those that the profile names and that
    aren't there; `firmware` and `microcode` are paths relative to usr/lib/firmware; `programs` are pairs, where a file goes
    and where it lies in the tree.
    """

    release: str
    modules: tuple[InitramfsModule, ...]
    builtin: tuple[str, ...]
    missing: tuple[str, ...]
    firmware: tuple[str, ...]
    microcode: tuple[str, ...]
    compression: str
    key: str
    size: int
    programs: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def initramfs_words(command_line: str) -> tuple[str, ...]:
    """The words of a command line that only an initramfs can do: an encrypted root, one on several disks."""
    return tuple(word for word in command_line.split() if word.startswith(("rastos.luks=", "rastos.raid=")))


def plan_initramfs(tree: Path, release: str, *, words: Sequence[str] = ()) -> InitramfsPlan | None:
    """The initramfs for kernel `release` of a tree; None where all that finds a root is built in.

    `words` are those of the command line that ask for one whatever is built in (`initramfs_words`). Raises IntegrityError
    for a tree whose modules aren't indexed, that lacks a program for it, or whose kernel unpacks none.
    """
    folder = tree / "usr/lib/modules" / release
    config = read_config(folder / "config") if (folder / "config").is_file() else {}
    modular = not config or config.get("MODULES") == "y"
    if not modular and not words:
        return None
    index = read_modules(folder) if modular else ModuleIndex(folder)
    encrypted = any(word.startswith("rastos.luks=") for word in words)
    _check_encryption(config, tree, release, index, encrypted=encrypted)
    asked = kernel_facts(tree, release).get("initramfs", [])
    first = (*ROOT, *CRYPTOGRAPHY) if encrypted else ROOT
    wanted = [name.replace("-", "_") for name in (*first, *DEVICES, *asked)]
    names = index.closure(wanted)
    if not names and not words:
        return None
    program = tree / PROGRAM
    if not program.is_file():
        raise IntegrityError(
            f"an initramfs for {release} needs {PROGRAM}, which this tree lacks",
            on=tree,
            next_step="install the rastos-init package in it again",
        )
    always = set(index.closure(first))
    modules = tuple(_module(index, name, name in always) for name in names)
    programs = tuple(program_files(tree, UNLOCKER).items()) if encrypted else ()
    firmware = _firmware(tree, index, names)
    microcode = _microcode(tree)
    files = [program, *(folder / item.path for item in modules)]
    files += [tree / "usr/lib/firmware" / name for name in (*firmware, *microcode)]
    files += [tree / path for _, path in programs]
    compression = _compression(config, release, tree)
    digests = [f"{path.relative_to(tree)} {sha256_file(path)}" for path in files]
    return InitramfsPlan(
        release=release,
        modules=modules,
        builtin=tuple(name for name in dict.fromkeys(wanted) if name in index.builtin),
        missing=tuple(name for name in asked if not _there(index, name)),
        firmware=firmware,
        microcode=microcode,
        compression=compression,
        key=digest_of(
            FORMAT, compression, release, "\n".join(digests), "\n".join(f"{a} {m}" for a, m in index.aliases)
        ),
        size=sum(path.stat().st_size for path in files) + (1 << 16),
        programs=programs,
    )


def _check_encryption(config: dict[str, str], tree: Path, release: str, index: ModuleIndex, *, encrypted: bool) -> None:
    if not encrypted:
        return
    if config and config.get("DM_CRYPT") != "y" and "dm_crypt" not in index.paths:
        raise IntegrityError(
            f"kernel {release} can't open an encrypted root: it has no dm-crypt (CONFIG_DM_CRYPT)",
            on=tree,
            next_step="take a kernel that has it, such as profile container, or the distribution's",
        )
    if not (tree / UNLOCKER).exists():
        raise IntegrityError(
            f"an encrypted root is opened by {UNLOCKER}, which this tree lacks",
            on=tree,
            next_step="add its package (Debian: cryptsetup-bin, Arch: cryptsetup)",
        )


def kernel_facts(tree: Path, release: str) -> dict[str, Any]:
    """What the kernel's package says of its profile; {} for kernels of others."""
    path = tree / "usr/lib/modules" / release / FACTS
    try:
        found = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise IntegrityError(f"damaged: {error}", on=path, next_step="install the kernel's package again") from error
    return found if isinstance(found, dict) else {}


def _there(index: ModuleIndex, name: str) -> bool:
    plain = name.replace("-", "_")
    return plain in index.paths or plain in index.builtin


def _module(index: ModuleIndex, name: str, always: bool) -> InitramfsModule:
    path = index.folder / index.paths[name]
    if path.is_symlink() or not path.is_file():
        raise IntegrityError(
            "modules.dep names a module that isn't there", on=path, next_step="install the kernel's package again"
        )
    return InitramfsModule(name, index.paths[name], path.stat().st_size, always)


def _firmware(tree: Path, index: ModuleIndex, names: tuple[str, ...]) -> tuple[str, ...]:
    """Files the modules may ask for, as far as the tree has them."""
    place = tree / "usr/lib/firmware"
    if not place.is_dir():
        return ()
    wanted = sorted({item for name in names for item in firmware_of(index.read(name))})
    return tuple(item for item in wanted if ".." not in item.split("/") and _plain(place / item))


def _microcode(tree: Path) -> tuple[str, ...]:
    place = tree / "usr/lib/firmware"
    found = [path for folder in _MICROCODE.values() for path in sorted((place / folder).glob("*")) if _plain(path)]
    return tuple(str(path.relative_to(place)) for path in found if path.suffix not in (".asc", ".initramfs"))


def microcode_file(path: str) -> str:
    """Which file of the early archive a microcode file goes into (kernel, Documentation/arch/x86/microcode.rst)."""
    return next(name for name, folder in _MICROCODE.items() if path.startswith(f"{folder}/"))


def _plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _compression(config: dict[str, str], release: str, tree: Path) -> str:
    if config and config.get("BLK_DEV_INITRD") != "y":
        raise IntegrityError(
            f"kernel {release} needs modules to find its root, and unpacks no initramfs (CONFIG_BLK_DEV_INITRD)",
            on=tree,
            next_step="build in what finds the root, or turn CONFIG_BLK_DEV_INITRD on",
        )
    return "zstd" if config.get("RD_ZSTD") == "y" else "gzip"
