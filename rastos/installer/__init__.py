"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootfacts import ImageKernel, image_kernel
    from .checking import ProfileCheck, ProfileFinding, check_image_profile
    from .formats.compacting import Compacted, CompactPlan, compact_image, plan_compact
    from .formats.converting import Converted, ConvertPlan, convert_image, plan_convert
    from .formats.resizing import ResizePlan, plan_resize, resize_image
    from .formats.source import image_size
    from .formats.table import COMPRESSIONS, FORMATS, Format, check_compression, find_format
    from .image import Image, ImagePlan, create_image, kind_of, plan_image
    from .inspect import Inspection, inspect_image
    from .interview import Answers, answer_fault, host_public_keys, host_time_zone, written_profile
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profile import (
        IMAGE_KEYS,
        ImageProfile,
        ProfileKey,
        ProfileReading,
        hash_password,
        image_profiles,
        is_public_key,
        load_image_profile,
        parse_size,
        public_key_fault,
        read_image_profile,
    )
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "bootfacts": ("ImageKernel", "image_kernel"),
    "checking": ("ProfileCheck", "ProfileFinding", "check_image_profile"),
    "formats.compacting": ("CompactPlan", "Compacted", "compact_image", "plan_compact"),
    "formats.converting": ("ConvertPlan", "Converted", "convert_image", "plan_convert"),
    "formats.resizing": ("ResizePlan", "plan_resize", "resize_image"),
    "formats.source": ("image_size",),
    "formats.table": ("COMPRESSIONS", "FORMATS", "Format", "check_compression", "find_format"),
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
    "COMPRESSIONS",
    "CompactPlan",
    "Compacted",
    "ConvertPlan",
    "Converted",
    "FORMATS",
    "Format",
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
    "ResizePlan",
    "RootPlan",
    "answer_fault",
    "check_compression",
    "check_image_profile",
    "compact_image",
    "convert_image",
    "create_image",
    "create_root",
    "find_format",
    "hash_password",
    "host_public_keys",
    "host_time_zone",
    "image_kernel",
    "image_profiles",
    "image_size",
    "inspect_image",
    "is_public_key",
    "kind_of",
    "load_image_profile",
    "open_image",
    "parse_size",
    "plan_compact",
    "plan_convert",
    "plan_image",
    "plan_resize",
    "plan_root",
    "probe_accelerator",
    "public_key_fault",
    "read_image_profile",
    "resize_image",
    "written_profile",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
