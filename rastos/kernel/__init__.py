"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.apt import Offer, offers
from rastos.kernel.build import build
from rastos.kernel.fragments import Merged, OptionGroup, Override, Request, merge, option_groups, parse_fragment
from rastos.kernel.initramfs import InitramfsModule, InitramfsPlan, kernel_facts, plan_initramfs, write_initramfs
from rastos.kernel.kconfig import Dropped, read_config
from rastos.kernel.plan import BuildPlan, plan_build
from rastos.kernel.profiles import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
from rastos.kernel.sources import Source, find_source
from rastos.kernel.store import BuiltKernel, FurtherPackage, built
from rastos.kernel.vmlinux import Vmlinux, find_vmlinux, vmlinuz_of

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
    "Source",
    "Vmlinux",
    "build",
    "built",
    "find_source",
    "find_vmlinux",
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
    "vmlinuz_of",
    "write_initramfs",
]
