"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .adopt.adopting import Adopted, adopt_disk, forget_adoption, undo_adoption
    from .adopt.opening import ForeignDisk, open_foreign
    from .adopt.plan import Adoption, AdoptPlan, plan_adopt
    from .bootfacts import ImageKernel, image_kernel
    from .checking import ProfileCheck, ProfileFinding, check_image_profile
    from .disk_profile import DataDisk, Disk, disk_fault
    from .encryption import read_passphrase, use_passphrase_file
    from .enrolment import EnrolmentPlan, plan_enrolment, write_enrolment
    from .formats.compacting import Compacted, CompactPlan, compact_image, plan_compact
    from .formats.converting import Converted, ConvertPlan, convert_image, plan_convert
    from .formats.resizing import ResizePlan, plan_resize, resize_image
    from .formats.source import image_size
    from .formats.table import COMPRESSIONS, FORMATS, Format, check_compression, find_format
    from .image import Image, ImagePlan, create_image, kind_of, plan_image
    from .initprogram import init_package
    from .inspect import Inspection, inspect_image
    from .install.afterwards import leave_machine
    from .install.answers import InstallAnswers, found_answers, read_answers
    from .install.disks import DiskPart, FoundDisk, disks, read_disk
    from .install.installing import Installed, install_copy, install_packages
    from .install.plan import InstallPlan, Medium, file_to_make, medium_of, plan_copy_to, plan_packages_to
    from .interview import Answers, answer_fault, host_public_keys, host_time_zone, written_profile
    from .looking.copying import Copied, copy_from_image, copy_into_image
    from .looking.differing import IMAGE_SECTIONS, FileChange, ImageDifference, image_difference
    from .looking.listing import Entry, list_image, read_from_image
    from .looking.manifest import ImageManifest, image_manifest
    from .looking.rebuilding import Reproduction, build_again, check_comparable, compare_builds
    from .looking.references import ImageReference, opened_snapshot, parse_place, parse_reference, throw_away_copy
    from .looking.sbom import SBOM_FORMATS, bill_of_materials
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
    "adopt.adopting": ("Adopted", "adopt_disk", "forget_adoption", "undo_adoption"),
    "adopt.opening": ("ForeignDisk", "open_foreign"),
    "adopt.plan": ("AdoptPlan", "Adoption", "plan_adopt"),
    "bootfacts": ("ImageKernel", "image_kernel"),
    "initprogram": ("init_package",),
    "install.afterwards": ("leave_machine",),
    "install.answers": ("InstallAnswers", "found_answers", "read_answers"),
    "install.disks": ("DiskPart", "FoundDisk", "disks", "read_disk"),
    "install.installing": ("Installed", "install_copy", "install_packages"),
    "install.plan": ("InstallPlan", "Medium", "file_to_make", "medium_of", "plan_copy_to", "plan_packages_to"),
    "checking": ("ProfileCheck", "ProfileFinding", "check_image_profile"),
    "disk_profile": ("DataDisk", "Disk", "disk_fault"),
    "encryption": ("read_passphrase", "use_passphrase_file"),
    "enrolment": ("EnrolmentPlan", "plan_enrolment", "write_enrolment"),
    "formats.compacting": ("CompactPlan", "Compacted", "compact_image", "plan_compact"),
    "formats.converting": ("ConvertPlan", "Converted", "convert_image", "plan_convert"),
    "formats.resizing": ("ResizePlan", "plan_resize", "resize_image"),
    "formats.source": ("image_size",),
    "formats.table": ("COMPRESSIONS", "FORMATS", "Format", "check_compression", "find_format"),
    "image": ("Image", "ImagePlan", "create_image", "kind_of", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
    "looking.copying": ("Copied", "copy_from_image", "copy_into_image"),
    "looking.differing": ("FileChange", "IMAGE_SECTIONS", "ImageDifference", "image_difference"),
    "looking.listing": ("Entry", "list_image", "read_from_image"),
    "looking.manifest": ("ImageManifest", "image_manifest"),
    "looking.rebuilding": ("Reproduction", "build_again", "check_comparable", "compare_builds"),
    "looking.references": ("ImageReference", "opened_snapshot", "parse_place", "parse_reference", "throw_away_copy"),
    "looking.sbom": ("SBOM_FORMATS", "bill_of_materials"),
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
    "AdoptPlan",
    "Adopted",
    "Adoption",
    "Answers",
    "COMPRESSIONS",
    "CompactPlan",
    "Compacted",
    "ConvertPlan",
    "Converted",
    "Copied",
    "DataDisk",
    "Disk",
    "DiskPart",
    "EnrolmentPlan",
    "Entry",
    "FORMATS",
    "FileChange",
    "ForeignDisk",
    "Format",
    "FoundDisk",
    "IMAGE_KEYS",
    "IMAGE_SECTIONS",
    "Image",
    "ImageDifference",
    "ImageKernel",
    "ImageManifest",
    "ImagePlan",
    "ImageProfile",
    "ImageReference",
    "Inspection",
    "InstallAnswers",
    "InstallPlan",
    "Installed",
    "Medium",
    "OpenImage",
    "ProfileCheck",
    "ProfileFinding",
    "ProfileKey",
    "ProfileReading",
    "Reproduction",
    "ResizePlan",
    "RootPlan",
    "SBOM_FORMATS",
    "adopt_disk",
    "answer_fault",
    "bill_of_materials",
    "build_again",
    "check_comparable",
    "check_compression",
    "check_image_profile",
    "compact_image",
    "compare_builds",
    "convert_image",
    "copy_from_image",
    "copy_into_image",
    "create_image",
    "create_root",
    "disk_fault",
    "disks",
    "file_to_make",
    "find_format",
    "forget_adoption",
    "found_answers",
    "hash_password",
    "host_public_keys",
    "host_time_zone",
    "image_difference",
    "image_kernel",
    "image_manifest",
    "image_profiles",
    "image_size",
    "init_package",
    "inspect_image",
    "install_copy",
    "install_packages",
    "is_public_key",
    "kind_of",
    "leave_machine",
    "list_image",
    "load_image_profile",
    "medium_of",
    "open_foreign",
    "open_image",
    "opened_snapshot",
    "parse_place",
    "parse_reference",
    "parse_size",
    "plan_adopt",
    "plan_compact",
    "plan_convert",
    "plan_copy_to",
    "plan_enrolment",
    "plan_image",
    "plan_packages_to",
    "plan_resize",
    "plan_root",
    "probe_accelerator",
    "public_key_fault",
    "read_answers",
    "read_disk",
    "read_from_image",
    "read_image_profile",
    "read_passphrase",
    "resize_image",
    "throw_away_copy",
    "undo_adoption",
    "use_passphrase_file",
    "write_enrolment",
    "written_profile",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
