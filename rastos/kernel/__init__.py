"""Kernels from profiles: source, configuration with provenance, build, pacman package.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .building import build
    from .config_show import Asked, Option, show_options, who_asked
    from .distribution import DistributionPlan, distro_kernel, distro_profile, distro_request, plan_distribution
    from .fragments import Merged, OptionGroup, Override, Request, merge, option_groups, parse_fragment
    from .initramfs import InitramfsModule, InitramfsPlan, kernel_facts, plan_initramfs, write_initramfs
    from .jobs import fitting_jobs
    from .kconfig import Dropped, read_config
    from .plan import BuildPlan, plan_build
    from .profile import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
    from .resolve import ResolvedConfig, explained, resolve_config
    from .secureboot import SecureBootKey, read_secure_boot_key, sign_efi, verify_efi
    from .signing import SigningKey, known_module_key, module_key
    from .sources import (
        MIRROR,
        Listed,
        Offer,
        Patch,
        Release,
        Source,
        find_source,
        list_sources,
        offers,
        open_source,
        read_series,
        releases,
        trust_keys,
    )
    from .store import BuiltKernel, FurtherPackage, built
    from .toolchain import Toolchain, find_toolchain
    from .uki import UKI_STUB, UkiParts, make_uki, read_uki
    from .vmlinux import Vmlinux, find_vmlinux, vmlinuz_of

_HOMES = {
    "building": ("build",),
    "config_show": (
        "Asked",
        "Option",
        "show_options",
        "who_asked",
    ),
    "distribution": (
        "DistributionPlan",
        "distro_kernel",
        "distro_profile",
        "distro_request",
        "plan_distribution",
    ),
    "fragments": (
        "Merged",
        "OptionGroup",
        "Override",
        "Request",
        "merge",
        "option_groups",
        "parse_fragment",
    ),
    "initramfs": (
        "InitramfsModule",
        "InitramfsPlan",
        "kernel_facts",
        "plan_initramfs",
        "write_initramfs",
    ),
    "jobs": ("fitting_jobs",),
    "kconfig": (
        "Dropped",
        "read_config",
    ),
    "plan": (
        "BuildPlan",
        "plan_build",
    ),
    "profile": (
        "Expected",
        "KernelProfile",
        "MayDrop",
        "Meant",
        "load_profile",
        "profiles",
    ),
    "resolve": (
        "ResolvedConfig",
        "explained",
        "resolve_config",
    ),
    "secureboot": (
        "SecureBootKey",
        "read_secure_boot_key",
        "sign_efi",
        "verify_efi",
    ),
    "signing": (
        "SigningKey",
        "known_module_key",
        "module_key",
    ),
    "sources": (
        "Listed",
        "MIRROR",
        "Offer",
        "Patch",
        "Release",
        "Source",
        "find_source",
        "list_sources",
        "offers",
        "open_source",
        "read_series",
        "releases",
        "trust_keys",
    ),
    "store": (
        "BuiltKernel",
        "FurtherPackage",
        "built",
    ),
    "toolchain": (
        "Toolchain",
        "find_toolchain",
    ),
    "uki": (
        "UKI_STUB",
        "UkiParts",
        "make_uki",
        "read_uki",
    ),
    "vmlinux": (
        "Vmlinux",
        "find_vmlinux",
        "vmlinuz_of",
    ),
}

__all__ = [
    "Asked",
    "BuildPlan",
    "BuiltKernel",
    "DistributionPlan",
    "Dropped",
    "Expected",
    "FurtherPackage",
    "InitramfsModule",
    "InitramfsPlan",
    "KernelProfile",
    "Listed",
    "MIRROR",
    "MayDrop",
    "Meant",
    "Merged",
    "Offer",
    "Option",
    "OptionGroup",
    "Override",
    "Patch",
    "Release",
    "Request",
    "ResolvedConfig",
    "SecureBootKey",
    "SigningKey",
    "Source",
    "Toolchain",
    "UKI_STUB",
    "UkiParts",
    "Vmlinux",
    "build",
    "built",
    "distro_kernel",
    "distro_profile",
    "distro_request",
    "explained",
    "find_source",
    "find_toolchain",
    "find_vmlinux",
    "fitting_jobs",
    "kernel_facts",
    "known_module_key",
    "list_sources",
    "load_profile",
    "make_uki",
    "merge",
    "module_key",
    "offers",
    "open_source",
    "option_groups",
    "parse_fragment",
    "plan_build",
    "plan_distribution",
    "plan_initramfs",
    "profiles",
    "read_config",
    "read_secure_boot_key",
    "read_series",
    "read_uki",
    "releases",
    "resolve_config",
    "show_options",
    "sign_efi",
    "trust_keys",
    "verify_efi",
    "vmlinuz_of",
    "who_asked",
    "write_initramfs",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
