"""What an image asks of its kernel, found in the image: partitions, root file system, boot entry, initramfs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import run, working_directory
from rastos.kernel import read_uki
from rastos.kernel.checks import BootFacts, ConfigOrigin, from_file
from rastos.snapshot import BootFiles, Store, boot_files

from .open import OpenImage, open_image
from .partition import ESP_TYPE


@dataclass(frozen=True, slots=True)
class ImageKernel:
    """The kernel an image boots next: its configuration, the package it is from, and what the image asks of it."""

    origin: ConfigOrigin
    package: str
    boot: BootFacts


def image_kernel(image: Path, *, cache: Path, buses: tuple[str, ...] = ("virtio",)) -> ImageKernel:
    """Read it; `buses` are those its disk will hang on, which no image tells. UserError: nothing is deployed."""
    with open_image(image, writable=False, purpose="check its kernel") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        current = store.current()
        if current is None:
            raise UserError("nothing is deployed in this image", on=image, next_step="rastos snapshot deploy latest")
        files = boot_files(store)
        modules = store.tree(current.snapshot) / "usr/lib/modules" / files.release
        found = from_file(modules / "config")
        name = modules / "pkgbase"
        origin = ConfigOrigin(
            f"{image.name}, deployment {current.number}, snapshot {current.snapshot}: {files.release}",
            found.version,
            found.values,
        )
        facts = BootFacts(
            buses=buses,
            root="btrfs",  # open_image mounts no other
            gpt=True,
            esp=any(part.type.upper() == ESP_TYPE for part in opened.partitions),
            command_line=files.options,
            modules=_modules(_initramfs(opened, files), cache),
        )
        return ImageKernel(origin, name.read_text().strip() if name.is_file() else "", facts)


def _initramfs(opened: OpenImage, files: BootFiles) -> bytes | None:
    if files.unified:
        return read_uki(opened.esp.read(files.kernel_esp_path), files.kernel_esp_path).get(".initrd")
    return None if files.initrd_esp_path is None else opened.esp.read(files.initrd_esp_path)


def _modules(initramfs: bytes | None, cache: Path) -> frozenset[str] | None:
    """Names of the modules in an initramfs (a cpio archive, compressed or not)."""
    if initramfs is None:
        return None
    with working_directory(cache / "work", "initrd") as place:
        (place / "initrd").write_bytes(initramfs)
        listed = run(["bsdtar", "-tf", place / "initrd"], what="list the initramfs").stdout
    names = (Path(line).name for line in listed.splitlines())
    return frozenset(name.split(".ko")[0].replace("-", "_") for name in names if ".ko" in name)
