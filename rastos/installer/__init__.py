"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootfacts import ImageKernel, image_kernel
    from .image import Image, ImagePlan, create_image, plan_image
    from .inspect import Inspection, inspect_image
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profile import ImageProfile, image_profiles, is_public_key, load_image_profile, parse_size
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "bootfacts": ("ImageKernel", "image_kernel"),
    "image": ("Image", "ImagePlan", "create_image", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
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
    "Image",
    "ImageKernel",
    "ImagePlan",
    "ImageProfile",
    "Inspection",
    "OpenImage",
    "ProfileReading",
    "RootPlan",
    "create_image",
    "create_root",
    "image_kernel",
    "image_profiles",
    "inspect_image",
    "is_public_key",
    "load_image_profile",
    "open_image",
    "parse_size",
    "plan_image",
    "plan_root",
    "probe_accelerator",
    "public_key_fault",
    "read_image_profile",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
