"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootfacts import ImageKernel, image_kernel
    from .image import Image, ImagePlan, create_image, plan_image
    from .inspect import Inspection, inspect_image
    from .looking.copying import Copied, copy_from_image, copy_into_image
    from .looking.differing import IMAGE_SECTIONS, FileChange, ImageDifference, image_difference
    from .looking.listing import Entry, list_image, read_from_image
    from .looking.manifest import ImageManifest, image_manifest
    from .looking.rebuilding import Reproduction, build_again, check_comparable, compare_builds
    from .looking.references import ImageReference, opened_snapshot, parse_place, parse_reference, throw_away_copy
    from .looking.sbom import SBOM_FORMATS, bill_of_materials
    from .newroot import RootPlan, create_root, plan_root
    from .open import OpenImage, open_image
    from .profiles import ImageProfile, image_profiles, is_public_key, load_image_profile, parse_size
    from .vm.accelerator import Accelerator, probe_accelerator


_HOMES = {
    "bootfacts": ("ImageKernel", "image_kernel"),
    "image": ("Image", "ImagePlan", "create_image", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
    "looking.copying": ("Copied", "copy_from_image", "copy_into_image"),
    "looking.differing": ("FileChange", "IMAGE_SECTIONS", "ImageDifference", "image_difference"),
    "looking.listing": ("Entry", "list_image", "read_from_image"),
    "looking.manifest": ("ImageManifest", "image_manifest"),
    "looking.rebuilding": ("Reproduction", "build_again", "check_comparable", "compare_builds"),
    "looking.references": ("ImageReference", "opened_snapshot", "parse_place", "parse_reference", "throw_away_copy"),
    "looking.sbom": ("SBOM_FORMATS", "bill_of_materials"),
    "newroot": ("RootPlan", "create_root", "plan_root"),
    "open": ("OpenImage", "open_image"),
    "profiles": ("ImageProfile", "image_profiles", "load_image_profile", "parse_size", "is_public_key"),
    "vm.accelerator": ("Accelerator", "probe_accelerator"),
}

__all__ = [
    "Accelerator",
    "Copied",
    "Entry",
    "FileChange",
    "IMAGE_SECTIONS",
    "Image",
    "ImageDifference",
    "ImageKernel",
    "ImageManifest",
    "ImagePlan",
    "ImageProfile",
    "ImageReference",
    "Inspection",
    "OpenImage",
    "Reproduction",
    "RootPlan",
    "SBOM_FORMATS",
    "bill_of_materials",
    "build_again",
    "check_comparable",
    "compare_builds",
    "copy_from_image",
    "copy_into_image",
    "create_image",
    "create_root",
    "image_difference",
    "image_kernel",
    "image_manifest",
    "image_profiles",
    "inspect_image",
    "is_public_key",
    "list_image",
    "load_image_profile",
    "open_image",
    "opened_snapshot",
    "parse_place",
    "parse_reference",
    "parse_size",
    "plan_image",
    "plan_root",
    "probe_accelerator",
    "read_from_image",
    "throw_away_copy",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
