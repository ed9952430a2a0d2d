"""What a kernel needs to bring up a given image: its disk's bus, its partitions and file system, its console, its loader."""

from __future__ import annotations

from collections.abc import Iterable

from .judge import Rule

# name: symbols that all have to be built in where there is no initramfs
_BUSES = {
    "virtio": ("VIRTIO", "VIRTIO_PCI", "VIRTIO_BLK", "PCI"),
    "nvme": ("PCI", "BLK_DEV_NVME"),
    "sata": ("PCI", "ATA", "SATA_AHCI", "SCSI", "BLK_DEV_SD"),
}
_FILE_SYSTEMS = {"btrfs": ("BTRFS_FS",), "ext4": ("EXT4_FS",), "vfat": ("VFAT_FS", "NLS_CODEPAGE_437", "NLS_ISO8859_1")}
_CONSOLES = {"ttyS": ("SERIAL_8250", "SERIAL_8250_CONSOLE"), "hvc": ("VIRTIO_CONSOLE",), "tty": ("VT", "VT_CONSOLE")}


def boot_needs(
    *,
    buses: Iterable[str] = ("virtio",),
    root: str = "btrfs",
    command_line: str = "",
    uefi: bool = True,
    initramfs: bool = False,
) -> tuple[Rule, ...]:
    """The rules for an image: without an initramfs what mounts the root has to be built in, a module comes too late."""
    early = "set" if initramfs else "y"
    where = "" if initramfs else ", built in: there is no initramfs to load it from"
    found: list[Rule] = []
    for bus in buses:
        found += [Rule((name,), early, f"the {bus} disk{where}") for name in _BUSES[bus]]
    found += [Rule((name,), early, f"the root file system, {root}{where}") for name in _FILE_SYSTEMS[root]]
    found += [
        Rule(("EFI_PARTITION",), "y", "partitions are GPT"),
        Rule(("PARTITION_ADVANCED", "EFI_PARTITION"), "y", "GPT"),
    ]
    found += [Rule(("DEVTMPFS",), "y", "/dev"), Rule(("TMPFS",), "y", "/run and /tmp")]
    found += [Rule((name,), "y", "systemd needs it") for name in _SYSTEMD]
    found += [Rule(("BINFMT_ELF",), "y", "programs"), Rule(("BINFMT_SCRIPT",), "set", "scripts")]
    for word in command_line.split():
        if word.startswith("console="):
            kind = word.removeprefix("console=").split(",")[0].rstrip("0123456789")
            found += [Rule((name,), "y", f"the console {word}") for name in _CONSOLES.get(kind, ())]
    if uefi:
        found += [Rule((name,), "y", "systemd-boot starts it by UEFI") for name in ("EFI", "EFI_STUB")]
        found += [Rule((name,), "set", "the ESP is vfat", "warning") for name in _FILE_SYSTEMS["vfat"]]
        found += [Rule(("EFIVAR_FS",), "set", "boot counting and bootctl read variables", "warning")]
    if initramfs:
        found.append(Rule(("BLK_DEV_INITRD",), "y", "the initramfs"))
    return tuple(found)


_SYSTEMD = ("CGROUPS", "INOTIFY_USER", "SIGNALFD", "TIMERFD", "EPOLL", "UNIX", "SYSFS", "PROC_FS", "FHANDLE", "NET")
