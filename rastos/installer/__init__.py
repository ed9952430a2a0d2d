"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootfacts import ImageKernel, image_kernel
    from .disk_profile import DataDisk, Disk, disk_fault
    from .encryption import read_passphrase, use_passphrase_file
    from .enrolment import EnrolmentPlan, plan_enrolment, write_enrolment
    from .image import Image, ImagePlan, create_image, plan_image
    from .inspect import Inspection, inspect_image
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profiles import ImageProfile, image_profiles, is_public_key, load_image_profile, parse_size
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "bootfacts": ("ImageKernel", "image_kernel"),
    "disk_profile": ("DataDisk", "Disk", "disk_fault"),
    "encryption": ("read_passphrase", "use_passphrase_file"),
    "enrolment": ("EnrolmentPlan", "plan_enrolment", "write_enrolment"),
    "image": ("Image", "ImagePlan", "create_image", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
    "newroot": ("RootPlan", "create_root", "plan_root"),
    "open": ("OpenImage", "open_image"),
    "profiles": ("ImageProfile", "image_profiles", "load_image_profile", "parse_size", "is_public_key"),
    "vm.accelerator": ("Accelerator", "probe_accelerator"),
}

__all__ = [
    "Accelerator",
    "DataDisk",
    "Disk",
    "EnrolmentPlan",
    "Image",
    "ImageKernel",
    "ImagePlan",
    "ImageProfile",
    "Inspection",
    "OpenImage",
    "RootPlan",
    "create_image",
    "create_root",
    "disk_fault",
    "image_kernel",
    "image_profiles",
    "inspect_image",
    "is_public_key",
    "load_image_profile",
    "open_image",
    "parse_size",
    "plan_enrolment",
    "plan_image",
    "plan_root",
    "probe_accelerator",
    "read_passphrase",
    "use_passphrase_file",
    "write_enrolment",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
