"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .adopt.adopting import Adopted, adopt_disk, forget_adoption, undo_adoption
    from .adopt.opening import ForeignDisk, open_foreign
    from .adopt.plan import Adoption, AdoptPlan, plan_adopt
    from .bootfacts import ImageKernel, image_kernel
    from .image import Image, ImagePlan, create_image, plan_image
    from .initprogram import init_package
    from .inspect import Inspection, inspect_image
    from .install.afterwards import leave_machine
    from .install.answers import InstallAnswers, found_answers, read_answers
    from .install.disks import Disk, DiskPart, disks, read_disk
    from .install.installing import Installed, install_copy, install_packages
    from .install.plan import InstallPlan, Medium, file_to_make, medium_of, plan_copy_to, plan_packages_to
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profile import ImageProfile, image_profiles, is_public_key, load_image_profile, parse_size
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "adopt.adopting": ("Adopted", "adopt_disk", "forget_adoption", "undo_adoption"),
    "adopt.opening": ("ForeignDisk", "open_foreign"),
    "adopt.plan": ("AdoptPlan", "Adoption", "plan_adopt"),
    "bootfacts": ("ImageKernel", "image_kernel"),
    "image": ("Image", "ImagePlan", "create_image", "plan_image"),
    "initprogram": ("init_package",),
    "inspect": ("Inspection", "inspect_image"),
    "install.afterwards": ("leave_machine",),
    "install.answers": ("InstallAnswers", "found_answers", "read_answers"),
    "install.disks": ("Disk", "DiskPart", "disks", "read_disk"),
    "install.installing": ("Installed", "install_copy", "install_packages"),
    "install.plan": ("InstallPlan", "Medium", "file_to_make", "medium_of", "plan_copy_to", "plan_packages_to"),
    "newroot": ("RootPlan", "create_root", "plan_root"),
    "open": ("OpenImage", "open_image"),
    "profile": (
        "ImageProfile",
        "ProfileReading",
        "image_profiles",
        "is_public_key",
        "load_image_profile",
        "parse_size",
        "public_key_fault",
        "read_image_profile",
    ),
    "vm.accelerator": ("Accelerator", "probe_accelerator"),
}

__all__ = [
    "Accelerator",
    "AdoptPlan",
    "Adopted",
    "Adoption",
    "Disk",
    "DiskPart",
    "ForeignDisk",
    "Image",
    "ImageKernel",
    "ImagePlan",
    "ImageProfile",
    "Inspection",
    "InstallAnswers",
    "InstallPlan",
    "Installed",
    "Medium",
    "OpenImage",
    "ProfileReading",
    "RootPlan",
    "adopt_disk",
    "create_image",
    "create_root",
    "disks",
    "file_to_make",
    "forget_adoption",
    "found_answers",
    "image_kernel",
    "image_profiles",
    "init_package",
    "inspect_image",
    "install_copy",
    "install_packages",
    "is_public_key",
    "leave_machine",
    "load_image_profile",
    "medium_of",
    "open_foreign",
    "open_image",
    "parse_size",
    "plan_adopt",
    "plan_copy_to",
    "plan_image",
    "plan_packages_to",
    "plan_root",
    "probe_accelerator",
    "public_key_fault",
    "read_answers",
    "read_disk",
    "read_image_profile",
    "undo_adoption",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
