"""Starting machines: QEMU as a child that always ends with its block, an image booted on a throw-away overlay."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rastos.host import Popen, run, spawn, working_directory

from .driver import Machine as Machine
from .ending import GuestCrashed as GuestCrashed
from .fitting import fitted
from .fitting import free_port as free_port
from .hardware import Hardware
from .qemu import MachineSpec, argv, find_firmware
from .secureboot import enrol, find_secure_firmware
from .tpm import emulated_tpm

# an emulated timer comes late on a busy host, and the kernel panics: "IO-APIC + timer doesn't work"
EMULATED = "no_timer_check"
WAYS_TO_BOOT = ("uefi", "direct", "bios")


@contextmanager
def started(spec: MachineSpec) -> Iterator[Machine]:
    """Start QEMU; at the block's end it is gone, cleanly if it was powered off before."""
    with ExitStack() as stack:
        words = stack.enter_context((spec.runtime / "qemu.log").open("ab"))

        def launch() -> Popen[bytes]:
            if spec.fitted.tpm:
                stack.enter_context(emulated_tpm(spec.fitted.tpm, spec.runtime))
            env = dict(spec.fitted.environment)
            return stack.enter_context(spawn(argv(spec), stdout=words, stderr=words, env=env, death_signal=9))

        machine = Machine(spec, launch(), launch=launch)
        try:
            yield machine
        finally:
            machine.close()


def direct_files(image: Path, folder: Path) -> tuple[Path, Path | None, str]:
    """Take the kernel of the next deployment out of an image: kernel, initial RAM disk if it has one, command line."""
    from rastos.kernel import read_uki
    from rastos.snapshot import Store, boot_files

    from ..open import open_image

    with open_image(image, writable=False, purpose="read its boot entry") as opened:
        files = boot_files(Store.open(opened.top, opened.esp, writable=False))
        kernel = opened.esp.read(files.kernel_esp_path)
        initrd = opened.esp.read(files.initrd_esp_path) if files.initrd_esp_path else None
    if files.unified:
        parts = read_uki(kernel, files.kernel_esp_path)
        kernel, initrd = parts[".linux"], parts.get(".initrd")
    (folder / "vmlinuz").write_bytes(kernel)
    if initrd is None:
        return folder / "vmlinuz", None, files.options
    (folder / "initrd").write_bytes(initrd)
    return folder / "vmlinuz", folder / "initrd", files.options


@contextmanager
def booted(
    image: Path,
    *,
    cache: Path,
    way: str,
    persist: bool = False,
    memory: int = 1024,
    cpus: int | None = None,
    ssh_key: str = "",
    keep_log: Path | None = None,
    secure_boot_cert: Path | None = None,
    hardware: Hardware | None = None,
    change: Callable[[MachineSpec], MachineSpec] | None = None,
) -> Iterator[Machine]:
    """Boot an image, by `way` uefi, direct or bios, on a throw-away overlay unless `persist`; `cpus` None: what suits it.

    With `secure_boot_cert` (PEM) the firmware starts only what that certificate's key has signed; it is enrolled in this
    machine alone.

    Call it in a thread that lives as long as the machine: QEMU is told to die with the thread that started it
    (PR_SET_PDEATHSIG(2const)). `change` has the last word about the machine.
    """
    from ..mirror import mirror_disk
    from ..open import image_format, image_lock, missing_image
    from .accelerator import probe_accelerator

    if not image.is_file():
        raise missing_image(image)
    accelerator = probe_accelerator(cache)
    with ExitStack() as stack:
        place = stack.enter_context(working_directory(cache / "vm", "vm"))
        kernel, initrd, cmdline = direct_files(image, place) if way == "direct" else (None, None, "")
        if kernel and accelerator.name == "tcg":
            cmdline += f" {EMULATED}"
        # a socket's path has at most 107 bytes (unix(7)), a checkout's may be longer
        sockets = stack.enter_context(working_directory(Path("/tmp"), "vm")) if len(bytes(place)) > 95 else None
        stack.enter_context(image_lock(image.absolute(), "a virtual machine", shared=not persist))
        kind = image_format(image)
        disk, disk_format = image.absolute(), kind
        if not persist:
            disk, disk_format = place / "overlay.qcow2", "qcow2"
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image.absolute(), disk])
        second = mirror_disk(image, place)
        if second is not None and not persist:
            overlay = place / "second.qcow2"
            kind_of_second = image_format(second)
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind_of_second, "-b", second.absolute(), overlay])
            second = overlay
        spec = MachineSpec(
            runtime=place,
            accel=accelerator.option,
            cpu=accelerator.cpu,
            disk=disk,
            disk_format=disk_format,
            second=second,
            keep=persist,
            memory=memory,
            cpus=cpus or accelerator.cpus,
            kernel=kernel,
            initrd=initrd,
            cmdline=cmdline,
            ssh_port=free_port(),
            ssh_key=ssh_key,
            sockets=sockets,
        )
        if way == "uefi":
            code, variables = find_firmware() if secure_boot_cert is None else find_secure_firmware()
            if secure_boot_cert is None:
                shutil.copyfile(variables, place / "variables.fd")
            else:
                enrol(variables, secure_boot_cert, place / "variables.fd")
            spec = replace(spec, firmware=(code, place / "variables.fd"), secure=secure_boot_cert is not None)
        spec = replace(spec, fitted=stack.enter_context(fitted(hardware or Hardware(), spec, cache=cache)))
        spec = change(spec) if change else spec
        try:
            yield stack.enter_context(started(spec))
        finally:
            if keep_log is not None and spec.console_log.exists():
                keep_log.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(spec.console_log, keep_log)
