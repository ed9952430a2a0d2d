"""What this host can do: one finding per capability, with the remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rastos.host.privilege import Privilege
from rastos.host.run import find_program, run
from rastos.host.system_package_list import SystemPackage, distribution, how_to_install, system_packages

Status = Literal["ok", "missing", "degraded"]
INCLUDE = ("/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu")
LIBRARY = ("/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
FIRMWARE = ("/usr/share/OVMF", "/usr/share/edk2/x64", "/usr/share/edk2/ovmf", "/usr/share/edk2-ovmf/x64")
BOOTLOADERS = {
    "systemd-boot": ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi",),
    # what a BIOS reads from the first sector of a GPT disk: its places on Debian, Arch and Fedora
    "syslinux": tuple(
        f"/usr/{folder}/gptmbr.bin" for folder in ("lib/syslinux/mbr", "lib/syslinux/bios", "share/syslinux")
    ),
}
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",)
SPACE_NEEDED = 12 << 30  # bytes: kernel source and build 4 GiB, images and caches the rest
SPACE_LEAST = 6 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One capability: `required` says whether the main job can't run without it; `remedy` is what to do."""

    name: str
    status: Status
    detail: str
    remedy: str = ""
    required: bool = True
    group: str = "tools"


def survey(cache: Path, extra: Iterable[Finding] = ()) -> list[Finding]:
    """Everything the main job needs from the host, in reading order; `extra` are findings of other layers (KVM)."""
    return [*_machine(cache), *extra, *_python(), *(_program(row) for row in system_packages())]


def available_memory() -> int:
    """Bytes that programs can take before the machine swaps (proc(5), MemAvailable); 0 where it isn't known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _machine(cache: Path) -> list[Finding]:
    now = Privilege.current()
    findings = [
        Finding(
            "privileges",
            "ok" if now.user == 0 and now.may_mount else "missing",
            "root, may mount" if now.may_mount else f"user {now.user}, may not mount",
            "" if now.may_mount else "run rastos as root (sudo)",
            group="machine",
        )
    ]
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines() if line.split()}
    loadable = Path("/proc/modules").exists()
    for name, required, use in (("btrfs", True, "root file system of images"), ("fuse", True, "opening qcow2 images")):
        there = name in known or (loadable and _module(name))
        remedy = "" if there else f"modprobe {name}" if loadable else f"boot a kernel that has {name}"
        findings.append(Finding(f"kernel: {name}", "ok" if there else "missing", use, remedy, required, "machine"))
    vfat = "vfat" in known or (loadable and _module("vfat"))
    findings.append(
        Finding(
            "kernel: vfat",
            "ok" if vfat else "degraded",
            "in the kernel" if vfat else "not in this kernel; mtools does without",
            required=False,
            group="machine",
        )
    )
    for node, use in (("/dev/loop-control", "loop devices"), ("/dev/fuse", "FUSE")):
        there = Path(node).exists() and os.access(node, os.R_OK | os.W_OK)
        detail = node if there else f"{node} is not there or not ours"
        remedy = "" if there else "load the module, or run as root outside a container"
        findings.append(Finding(use, "ok" if there else "missing", detail, remedy, group="machine"))
    findings.append(_space(cache))
    return findings


def _module(name: str) -> bool:
    return (
        run(["modprobe", "--dry-run", "--quiet", name], check=False).status == 0 if find_program("modprobe") else False
    )


def _space(cache: Path) -> Finding:
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    status: Status = "ok" if free >= SPACE_NEEDED else "degraded" if free >= SPACE_LEAST else "missing"
    remedy = (
        "" if status == "ok" else f"free {SPACE_NEEDED / 2**30:.0f} GiB there, or set RASTOS_CACHE to a larger disk"
    )
    return Finding("free space", status, f"{free / 2**30:.1f} GiB at {place}", remedy, group="machine")


def _python() -> list[Finding]:
    findings = []
    for module in ("pyalpm", "btrfsutil", "qemu.qmp", "rich"):
        try:
            there = find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        remedy = "" if there else "make setup"
        findings.append(Finding(module, "ok" if there else "missing", "Python library", remedy, group="libraries"))
    return findings


def _program(row: SystemPackage) -> Finding:
    place = _place(row.program)
    package = row.names[distribution()]
    required = row.need == "main"
    if place:
        return Finding(row.program, "ok", place, "", required)
    detail = f"for {row.purpose}" + ("" if package == "-" else f" (package {package})")
    return Finding(row.program, "missing" if required else "degraded", detail, how_to_install([row.program]), required)


def _place(program: str) -> str:
    kind, _, name = program.partition(":")
    if not name:
        if program == "certificates":
            return _first("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
        return str(find_program(program) or "")
    if kind == "pc":
        there = find_program("pkg-config") and run(["pkg-config", "--exists", name], check=False).status == 0
        return "pkg-config" if there else ""
    if kind == "header":
        python = [str(path) for path in Path("/usr/include").glob("python3*")] if name == "Python.h" else []
        return _first(*(f"{folder}/{name}" for folder in (*python, *INCLUDE)))
    if kind == "library":
        return _first(*(f"{folder}/{name}" for folder in LIBRARY))
    if kind == "venv":
        return "Python module" if find_spec(name) else ""
    if kind == "firmware":
        return _first(
            *(
                f"{folder}/{file}"
                for folder in FIRMWARE
                for file in ("OVMF_CODE_4M.fd", "OVMF_CODE.fd", "OVMF_CODE.4m.fd")
            )
        )
    if kind == "bootloader":
        return _first(*BOOTLOADERS[name])
    if kind == "keyring":
        return _first(*KEYRINGS)
    return ""


def _first(*places: str) -> str:
    return next((place for place in places if Path(place).exists()), "")
