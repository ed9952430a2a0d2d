"""Kernels from profiles: source, configuration with provenance, build, pacman package.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .building import build
    from .config_diff import Difference, compare_configs, tally
    from .config_edit import EditedConfig, Editor, edit_config, menu_editor, save_edited
    from .config_file import read_config
    from .config_menus import KernelTree, MenuEntry, menus_or_nothing, nearest_tree
    from .config_port import Changed, Gone, Heir, NewOption, PortReport, port_report
    from .config_show import Asked, Option, show_options, who_asked
    from .distribution import DistributionPlan, distro_kernel, distro_profile, distro_request, plan_distribution
    from .fragments import (
        Merged,
        OptionGroup,
        Override,
        Request,
        find_fragment,
        fragment_files,
        merge,
        option_groups,
        parse_fragment,
        short_name,
    )
    from .initramfs import (
        InitramfsModule,
        InitramfsPlan,
        initramfs_words,
        kernel_facts,
        plan_initramfs,
        write_initramfs,
    )
    from .jobs import fitting_jobs
    from .kconfig import Dropped
    from .plan import BuildPlan, plan_build
    from .profile import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
    from .resolve import ResolvedConfig, explained, resolve_config
    from .secureboot import SecureBootKey, read_secure_boot_key, sign_efi
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
    "config_diff": (
        "Difference",
        "compare_configs",
        "tally",
    ),
    "config_file": ("read_config",),
    "config_edit": (
        "EditedConfig",
        "Editor",
        "edit_config",
        "menu_editor",
        "save_edited",
    ),
    "config_menus": (
        "KernelTree",
        "MenuEntry",
        "menus_or_nothing",
        "nearest_tree",
    ),
    "config_port": (
        "Changed",
        "Gone",
        "Heir",
        "NewOption",
        "PortReport",
        "port_report",
    ),
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
        "find_fragment",
        "fragment_files",
        "merge",
        "option_groups",
        "parse_fragment",
        "short_name",
    ),
    "initramfs": (
        "InitramfsModule",
        "InitramfsPlan",
        "kernel_facts",
        "initramfs_words",
        "plan_initramfs",
        "write_initramfs",
    ),
    "jobs": ("fitting_jobs",),
    "kconfig": ("Dropped",),
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
    "Changed",
    "Difference",
    "DistributionPlan",
    "Dropped",
    "EditedConfig",
    "Editor",
    "Expected",
    "FurtherPackage",
    "Gone",
    "Heir",
    "InitramfsModule",
    "InitramfsPlan",
    "KernelProfile",
    "KernelTree",
    "Listed",
    "MIRROR",
    "MayDrop",
    "Meant",
    "MenuEntry",
    "Merged",
    "NewOption",
    "Offer",
    "Option",
    "OptionGroup",
    "Override",
    "Patch",
    "PortReport",
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
    "compare_configs",
    "distro_kernel",
    "distro_profile",
    "distro_request",
    "edit_config",
    "explained",
    "find_fragment",
    "find_source",
    "find_toolchain",
    "find_vmlinux",
    "fitting_jobs",
    "fragment_files",
    "initramfs_words",
    "kernel_facts",
    "known_module_key",
    "list_sources",
    "load_profile",
    "make_uki",
    "menu_editor",
    "menus_or_nothing",
    "merge",
    "module_key",
    "nearest_tree",
    "offers",
    "open_source",
    "option_groups",
    "parse_fragment",
    "plan_build",
    "plan_distribution",
    "plan_initramfs",
    "port_report",
    "profiles",
    "read_config",
    "read_secure_boot_key",
    "read_series",
    "read_uki",
    "releases",
    "resolve_config",
    "save_edited",
    "short_name",
    "show_options",
    "sign_efi",
    "tally",
    "trust_keys",
    "vmlinuz_of",
    "who_asked",
    "write_initramfs",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
