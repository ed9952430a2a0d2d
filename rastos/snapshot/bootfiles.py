"""What a deployment has on the ESP: kernel and initramfs under the names of their content, or both in one EFI program."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import IntegrityError
from rastos.host import sha256_file, working_directory
from rastos.kernel import UKI_STUB, SecureBootKey, UkiParts, kernel_facts, make_uki, sign_efi, write_initramfs
from rastos.progress import Progress

from .bootentry import KERNELS
from .store import Store

if TYPE_CHECKING:
    from .deployment import DeployPlan


def put_kernel(
    store: Store, plan: DeployPlan, title: str, options: str, progress: Progress, secure_boot: SecureBootKey | None
) -> str:
    """The kernel, or the unified kernel image, on the ESP before anything names it; its path there."""
    if plan.unified:
        return _put_unified(store, plan, title, options, progress, secure_boot)
    if not store.esp.exists(plan.kernel_path):
        store.esp.write(plan.kernel_path, store.tree(plan.snapshot) / "usr/lib/modules" / plan.kernel / "vmlinuz")
    return plan.kernel_path


def put_initramfs(store: Store, plan: DeployPlan, progress: Progress) -> None:
    """On the ESP under the name of its content, before anything names it."""
    if plan.initramfs is None or plan.initramfs_path is None or store.esp.exists(plan.initramfs_path):
        return
    with (
        progress.step("Initramfs") as step,
        working_directory(Path(tempfile.gettempdir()), "rastos-initramfs-") as place,
    ):
        size = write_initramfs(plan.initramfs, store.tree(plan.snapshot), place / "initramfs")
        store.esp.write(plan.initramfs_path, place / "initramfs")
        step.outcome = f"{len(plan.initramfs.modules)} modules, {size / 1e6:.1f} MB"
        if plan.initramfs.missing:
            step.note(f"the kernel has no {', '.join(plan.initramfs.missing)}", "warning")


def _put_unified(
    store: Store, plan: DeployPlan, title: str, options: str, progress: Progress, secure_boot: SecureBootKey | None
) -> str:
    """Kernel, initramfs and command line in one EFI program, on the ESP under the name of its content; its path there."""
    tree = store.tree(plan.snapshot)
    with (
        progress.step("Unified kernel image") as step,
        working_directory(Path(tempfile.gettempdir()), "rastos-uki-") as place,
    ):
        initramfs = None
        if plan.initramfs is not None:
            initramfs = place / "initramfs"
            write_initramfs(plan.initramfs, tree, initramfs)
        parts = UkiParts(
            stub=boot_stub(tree, plan.snapshot),
            kernel=tree / "usr/lib/modules" / plan.kernel / "vmlinuz",
            initramfs=initramfs,
            options=options,
            os_release=f'ID=rastos\nPRETTY_NAME="{re.sub(r"[^ -!#-~]|[$`]", "_", title)}"\n',
            release=plan.kernel,
        )
        (place / "rastos.efi").write_bytes(make_uki(parts))
        if secure_boot is not None:
            sign_efi(place / "rastos.efi", secure_boot)
        path = f"{KERNELS}/{sha256_file(place / 'rastos.efi')[:16]}/rastos.efi"
        store.esp.write(path, place / "rastos.efi")
        step.outcome = f"{(place / 'rastos.efi').stat().st_size / 1e6:.1f} MB"
    return path


def boot_stub(tree: Path, number: int) -> Path:
    """systemd's stub in a snapshot's tree. IntegrityError: it isn't there."""
    stub = tree / UKI_STUB
    if stub.is_symlink() or not stub.is_file():
        raise IntegrityError(
            f"snapshot {number} has no boot stub for a unified kernel image: {UKI_STUB} is missing",
            next_step="install systemd-boot-efi in it (Arch: systemd)",
        )
    return stub


def kernel_command_line(store: Store, plan: DeployPlan) -> str:
    """What the kernel's profile asks for; the image's own parameters come after it and win."""
    return str(kernel_facts(store.tree(plan.snapshot), plan.kernel).get("command_line", ""))
