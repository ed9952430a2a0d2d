"""Which kernel the machine boots: one from the local repository that has everything built in, since it gets no initramfs."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError
from rastos.package import LocalPackage, LocalRepository, open_decompressed

# the kernel options without which the machine can't find its root, its disk, its port, or do the work
NEEDED = (
    "9P_FS",
    "BINFMT_SCRIPT",
    "BLK_DEV_LOOP",
    "BTRFS_FS",
    "DEVTMPFS",
    "NET_9P_VIRTIO",
    "OVERLAY_FS",
    "TMPFS",
    "UNIX98_PTYS",
    "VIRTIO_BLK",
    "VIRTIO_CONSOLE",
    "VIRTIO_PCI",
)
PREFIX = "linux-rastos-"
FITTING = "container"  # the profile to build where no kernel fits
_LONGEST = 1 << 26  # bytes of a kernel


@dataclass(frozen=True, slots=True)
class WorkKernel:
    """The package the machine's kernel comes from, and the kernel's own name in it."""

    package: LocalPackage
    member: str


def find_kernel(repository: LocalRepository) -> WorkKernel:
    """The first kernel that has what is needed, profile container's before all others. HostError: none has."""
    names = [
        package
        for package in repository.packages()
        if package.name.startswith(PREFIX) and not package.name.endswith(("-headers", "-debug"))
    ]
    lacking: dict[str, tuple[str, ...]] = {}
    for package in sorted(names, key=lambda package: (package.name != PREFIX + FITTING, package.name)):
        folder, config = _configuration(package.path)
        lacking[package.name] = missing_options(config)
        if folder and not lacking[package.name]:
            return WorkKernel(package, f"{folder}/vmlinuz")
    detail = "\n".join(
        f"{name}: built in it lacks {', '.join(options)}" for name, options in lacking.items() if options
    )
    raise HostError(
        "root is needed, or a kernel for a virtual machine to do it in; none is built that fits",
        on=repository.directory,
        next_step=f"`rastos kernel build --profile {FITTING}` (needs no root), or run this as root",
        detail=detail,
    )


def missing_options(config: str) -> tuple[str, ...]:
    """Options of a kernel's configuration that aren't built in but have to be."""
    built_in = {line[len("CONFIG_") : -2] for line in config.splitlines() if line.endswith("=y")}
    return tuple(option for option in NEEDED if option not in built_in)


def take_kernel(kernel: WorkKernel, target: Path) -> None:
    """Write the kernel itself to a file."""
    target.write_bytes(_member(kernel.package.path, kernel.member)[1])


def _configuration(package: Path) -> tuple[str, str]:
    """The modules' folder of a kernel package, and the configuration in it."""
    name, content = _member(package, "/config")
    return name.rpartition("/")[0], content.decode("utf-8", "replace")


def _member(package: Path, ending: str) -> tuple[str, bytes]:
    """The first file below usr/lib/modules whose name ends so; nothing where there is none."""
    with open_decompressed(package) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isfile() and member.name.startswith("usr/lib/modules/") and member.name.endswith(ending):
                content = archive.extractfile(member)
                return member.name, content.read(_LONGEST) if content else b""
    return "", b""
