"""The one table of formats: what `create`, `convert`, their messages and the documentation know of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rastos.errors import UserError

COMPRESSIONS = ("zlib", "zstd")


@dataclass(frozen=True, slots=True)
class Format:
    """One format: `driver` is qemu-img's name of it ("" for what isn't a disk), `options` its -o words, `suffixes` what file
    names of it end in, the first one ours.

    `opened`: rastos works on it as it is. `multiple`: its size is a multiple of so many bytes.
    """

    name: str
    kind: Literal["disk", "tree"]
    suffixes: tuple[str, ...]
    purpose: str
    driver: str = ""
    options: tuple[str, ...] = ()
    opened: bool = False
    compressible: bool = False
    compressed: bool = False
    multiple: int = 512

    @property
    def suffix(self) -> str:
        """What the file name of a new image of this format ends in."""
        return self.suffixes[0]


MIB = 1 << 20
# v3 ("1.1", QEMU 1.1 of 2012) is what qemu-img writes; lazy refcounts would leave an image to be repaired after a crash
_QCOW2 = ("compat=1.1", "lazy_refcounts=off")
FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        Format("qcow2", "disk", (".qcow2",), "QEMU, libvirt, Proxmox, OpenStack", "qcow2", _QCOW2, True, True),
        Format("raw", "disk", (".raw", ".img"), "physical disks, Google Cloud, firecracker", "raw", (), True),
        # one sparse file that VMware's desktop products run as it is
        Format(
            "vmdk",
            "disk",
            (".vmdk",),
            "VMware Workstation, Player and Fusion",
            "vmdk",
            ("subformat=monolithicSparse", "adapter_type=lsilogic"),
        ),
        # what an OVF package holds: compressed, written once
        Format(
            "vmdk-stream",
            "disk",
            (".stream.vmdk",),
            "VMware vSphere and ESXi (OVF), AWS import",
            "vmdk",
            ("subformat=streamOptimized", "adapter_type=lsilogic"),
            compressed=True,
        ),
        Format("vdi", "disk", (".vdi",), "VirtualBox", "vdi"),
        Format(
            "vhdx", "disk", (".vhdx",), "Hyper-V, Windows 8 and later", "vhdx", ("subformat=dynamic",), multiple=MIB
        ),
        # Azure takes nothing else: not vhdx, not dynamic, and the size in whole MiB (force_size: not one of CHS geometry)
        Format("vhd", "disk", (".vhd",), "Azure", "vpc", ("subformat=fixed", "force_size=on"), multiple=MIB),
        Format(
            "vhd-dynamic",
            "disk",
            (".dynamic.vhd",),
            "Virtual PC, older Hyper-V, XenServer",
            "vpc",
            ("subformat=dynamic", "force_size=on"),
            multiple=MIB,
        ),
        Format(
            "tar",
            "tree",
            (".tar.zst", ".tar", ".tar.gz"),
            "the tree alone: nspawn, WSL, chroot, other tools",
            compressed=True,
        ),
        Format("oci", "tree", (".oci.tar",), "the tree as a container image: podman, skopeo, docker", compressed=True),
    )
}
# other names that people and qemu-img use
ALIASES = {"img": "raw", "vpc": "vhd", "azure": "vhd", "ova": "vmdk-stream", "streamoptimized": "vmdk-stream"}
ALIASES |= {"tar.zst": "tar", "oci-archive": "oci", "docker": "oci", "virtualbox": "vdi", "hyperv": "vhdx"}


def find_format(name: str, *, on: object = "") -> Format:
    """A format by its name, or another name for it. Raises UserError with the nearest name."""
    plain = name.strip().lower().lstrip(".")
    found = FORMATS.get(ALIASES.get(plain, plain))
    if found is not None:
        return found
    near = difflib.get_close_matches(plain, [*FORMATS, *ALIASES], n=1)
    step = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(f"unknown format '{name}'", on=on, next_step=f"{step}known: {', '.join(FORMATS)}")


def format_of_name(path: Path) -> Format | None:
    """The format a file name stands for: the longest suffix wins; None for others."""
    fitting = [
        (len(suffix), item)
        for item in FORMATS.values()
        for suffix in item.suffixes
        if path.name.lower().endswith(suffix)
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def check_compression(kind: Format, compression: str, *, on: object = "") -> None:
    """UserError unless the format can be compressed so; "" is no compression."""
    if compression and compression not in COMPRESSIONS:
        near = difflib.get_close_matches(compression, COMPRESSIONS, n=1)
        step = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(COMPRESSIONS)}"
        raise UserError(f"unknown compression '{compression}'", on=on, next_step=step)
    if compression and not kind.compressible:
        why = "it always is compressed" if kind.compressed else "the format has none"
        able = ", ".join(item.name for item in FORMATS.values() if item.compressible)
        raise UserError(
            f"compression can't be chosen for format {kind.name}: {why}",
            on=on,
            next_step=f"leave it out, or use {able}",
        )
