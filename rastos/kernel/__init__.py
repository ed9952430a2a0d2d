"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.apt import Offer, offers
from rastos.kernel.build import build
from rastos.kernel.fragments import Merged, Override, Request, merge, parse_fragment
from rastos.kernel.kconfig import Dropped, read_config
from rastos.kernel.plan import BuildPlan, plan_build
from rastos.kernel.profiles import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
from rastos.kernel.secureboot import SecureBootKey, read_secure_boot_key, sign_efi, verify_efi
from rastos.kernel.sources import Source, find_source
from rastos.kernel.store import BuiltKernel, FurtherPackage, built

__all__ = [
    "BuildPlan",
    "BuiltKernel",
    "Dropped",
    "Expected",
    "FurtherPackage",
    "KernelProfile",
    "MayDrop",
    "Meant",
    "Merged",
    "Offer",
    "Override",
    "Request",
    "SecureBootKey",
    "Source",
    "build",
    "built",
    "find_source",
    "load_profile",
    "merge",
    "offers",
    "parse_fragment",
    "plan_build",
    "profiles",
    "read_config",
    "read_secure_boot_key",
    "sign_efi",
    "verify_efi",
]
