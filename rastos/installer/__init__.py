"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootfacts import ImageKernel, image_kernel
    from .checking import ProfileCheck, ProfileFinding, check_image_profile
    from .image import Image, ImagePlan, create_image, kind_of, plan_image
    from .inspect import Inspection, inspect_image
    from .interview import Answers, answer_fault, host_public_keys, host_time_zone, written_profile
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profile import ImageProfile, image_profiles, is_public_key, load_image_profile, parse_size
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "bootfacts": ("ImageKernel", "image_kernel"),
    "checking": ("ProfileCheck", "ProfileFinding", "check_image_profile"),
    "image": ("Image", "ImagePlan", "create_image", "kind_of", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
    "interview": ("Answers", "answer_fault", "host_public_keys", "host_time_zone", "written_profile"),
    "newroot": ("RootPlan", "create_root", "plan_root"),
    "open": ("OpenImage", "open_image"),
    "profile": (
        "IMAGE_KEYS",
        "ImageProfile",
        "ProfileKey",
        "ProfileReading",
        "hash_password",
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
    "Answers",
    "IMAGE_KEYS",
    "Image",
    "ImageKernel",
    "ImagePlan",
    "ImageProfile",
    "Inspection",
    "OpenImage",
    "ProfileCheck",
    "ProfileFinding",
    "ProfileKey",
    "ProfileReading",
    "RootPlan",
    "answer_fault",
    "check_image_profile",
    "create_image",
    "create_root",
    "hash_password",
    "host_public_keys",
    "host_time_zone",
    "image_kernel",
    "image_profiles",
    "inspect_image",
    "is_public_key",
    "kind_of",
    "load_image_profile",
    "open_image",
    "parse_size",
    "plan_image",
    "plan_root",
    "probe_accelerator",
    "public_key_fault",
    "read_image_profile",
    "written_profile",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
