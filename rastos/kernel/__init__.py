"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.apt import Offer, offers
from rastos.kernel.build import build
from rastos.kernel.fragments import Merged, OptionGroup, Override, Request, merge, option_groups, parse_fragment
from rastos.kernel.initramfs import InitramfsModule, InitramfsPlan, kernel_facts, plan_initramfs, write_initramfs
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
    "InitramfsModule",
    "InitramfsPlan",
    "KernelProfile",
    "MayDrop",
    "Meant",
    "Merged",
    "Offer",
    "OptionGroup",
    "Override",
    "Request",
    "SecureBootKey",
    "Source",
    "build",
    "built",
    "find_source",
    "kernel_facts",
    "load_profile",
    "merge",
    "offers",
    "option_groups",
    "parse_fragment",
    "plan_build",
    "plan_initramfs",
    "profiles",
    "read_config",
    "read_secure_boot_key",
    "sign_efi",
    "verify_efi",
    "write_initramfs",
]
