"""What a kernel needs to bring up a given image: its disk's bus, its partitions and file system, its console, its loader, systemd."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .judge import Rule, Severity
from .terms import parse

# a bus by the symbols that reach its disks, each with the module that it becomes (None: never one)
BUSES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "virtio": (("VIRTIO", "virtio"), ("VIRTIO_PCI", "virtio_pci"), ("VIRTIO_BLK", "virtio_blk"), ("PCI", None)),
    "nvme": (("PCI", None), ("BLK_DEV_NVME", "nvme")),
    "sata": (
        *(("PCI", None), ("ATA", "libata"), ("SATA_AHCI", "ahci")),
        *(("SCSI", "scsi_mod"), ("BLK_DEV_SD", "sd_mod")),
    ),
    "usb": (("USB_XHCI_HCD", "xhci_hcd"), ("USB_STORAGE", "usb_storage"), ("BLK_DEV_SD", "sd_mod")),
}
FILE_SYSTEMS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "btrfs": (("BTRFS_FS", "btrfs"),),
    "ext4": (("EXT4_FS", "ext4"),),
    "xfs": (("XFS_FS", "xfs"),),
}
_VFAT = ("VFAT_FS", "NLS_CODEPAGE_437", "NLS_ISO8859_1")
_CONSOLES = {
    "ttyS": ("SERIAL_8250=y", "SERIAL_8250_CONSOLE=y"),
    "hvc": ("VIRTIO_CONSOLE=y",),
    "tty": ("VT=y", "VT_CONSOLE=y"),
}
# systemd's README, REQUIREMENTS: what it can't do without, what parts of it want, what gets in its way
_SYSTEMD = "DEVTMPFS CGROUPS INOTIFY_USER SIGNALFD TIMERFD EPOLL UNIX SYSFS PROC_FS FHANDLE NET TMPFS"
_SYSTEMD_WANTS = (
    ("services get a network of their own", "NET_NS"),
    ("services get users of their own", "USER_NS"),
    ("services' system calls are filtered", "SECCOMP SECCOMP_FILTER"),
    ("processor time of services", "CGROUP_SCHED FAIR_GROUP_SCHED"),
    ("addresses and devices of services", "BPF_SYSCALL CGROUP_BPF"),
    ("access lists and attributes of files in /run, /dev and /tmp", "TMPFS_POSIX_ACL TMPFS_XATTR"),
)
_SYSTEMD_NOTES = (
    ("quotas of processor time", "CFS_BANDWIDTH"),
    ("BPF is fast", "BPF_JIT"),
    ("names of network devices, host names by machine", "DMIID"),
    ("loopback and privacy of IPv6", "IPV6"),
    ("fair queues", "NET_SCHED NET_SCH_FQ_CODEL"),
    ("two descriptors are compared", "CHECKPOINT_RESTORE|KCMP"),
    ("journals are sealed", "CRYPTO_USER_API_HASH CRYPTO_HMAC CRYPTO_SHA256"),
    ("pressure is measured, systemd-oomd reads it", "PSI MEMCG"),
)
_SYSTEMD_OFF: tuple[tuple[Severity, str, str], ...] = (
    ("error", "an old layout of sysfs hides devices from udev", "SYSFS_DEPRECATED=n"),
    ("note", "udev gets events from the kernel, not from a program", "UEVENT_HELPER=n"),
    ("warning", "firmware would wait for a program that isn't there", "FW_LOADER_USER_HELPER=n"),
    ("warning", "real-time groups have no time until somebody gives them some", "RT_GROUP_SCHED=n"),
)


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What an image asks of its kernel.

    `buses` its disks may hang on, `root` the file system of its root, `gpt` its partition table, `esp` whether it has one
    (mounted on demand), `modules` the names in its initramfs (as modprobe writes them, with _), None where it has none.
    """

    buses: tuple[str, ...] = ("virtio",)
    root: str = "btrfs"
    gpt: bool = True
    esp: bool = True
    command_line: str = ""
    modules: Collection[str] | None = None


def boot_needs(facts: BootFacts) -> tuple[Rule, ...]:
    """The rules for an image: without an initramfs what mounts the root has to be built in, a module comes too late."""
    found: list[Rule] = []
    for bus in facts.buses:
        found += [_early("disk", symbol, module, f"the {bus} disk", facts) for symbol, module in BUSES[bus]]
    for symbol, module in FILE_SYSTEMS.get(facts.root, ()):
        found.append(_early("root", symbol, module, f"the root file system, {facts.root}", facts))
    if facts.gpt:
        found.append(_rule("disk", "EFI_PARTITION=y", "partitions are GPT"))
    if facts.modules is not None:
        found.append(_rule("root", "BLK_DEV_INITRD=y", "the initramfs"))
        found.append(_rule("root", "RD_ZSTD=y | RD_GZIP=y | RD_XZ=y | RD_LZ4=y", "the initramfs is compressed"))
    found += [_rule("programs", "BINFMT_ELF=y", "programs"), _rule("programs", "BINFMT_SCRIPT", "scripts")]
    for word in facts.command_line.split():
        if word.startswith("console="):
            kind = word.removeprefix("console=").split(",")[0].rstrip("0123456789")
            found += [_rule("console", text, f"the console {word}") for text in _CONSOLES.get(kind, ())]
    if facts.esp:
        found += [_rule("loader", f"{name}=y", "systemd-boot starts it by UEFI") for name in ("EFI", "EFI_STUB")]
        found += [_rule("loader", name, "the ESP is vfat", "warning") for name in _VFAT]
        found.append(
            _rule("loader", "AUTOFS_FS | AUTOFS4_FS", "the ESP is mounted on demand, an automount unit", "error")
        )
        found.append(_rule("loader", "EFIVAR_FS", "boot counting and bootctl read variables", "warning"))
    return (*found, *_systemd())


def _systemd() -> list[Rule]:
    found = [_rule("systemd", f"{name}=y", "systemd needs it") for name in _SYSTEMD.split()]
    for reason, names in _SYSTEMD_WANTS:
        found += [_rule("systemd", name, reason, "warning") for name in names.split()]
    for reason, names in _SYSTEMD_NOTES:
        found += [_rule("systemd", name.replace("|", " | "), reason, "note") for name in names.split()]
    return found + [_rule("systemd", text, reason, severity) for severity, reason, text in _SYSTEMD_OFF]


def _early(group: str, symbol: str, module: str | None, what: str, facts: BootFacts) -> Rule:
    """What has to be there before the root is: built in, or a module that the initramfs holds."""
    if facts.modules is None:
        return _rule(group, f"{symbol}=y", f"{what}, built in: there is no initramfs to load it from")
    if module is None or any(name in facts.modules for name in (module.replace("-", "_"), module.replace("_", "-"))):
        return _rule(group, symbol, what)
    return _rule(
        group, f"{symbol}=y", f"{what}: as a module it would have to be in the initramfs, which lacks {module}"
    )


def _rule(group: str, text: str, reason: str, severity: Severity = "error") -> Rule:
    return Rule(parse(text), reason, severity, "boot", group)
