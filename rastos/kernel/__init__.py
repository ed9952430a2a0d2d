"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.apt import Offer, offers
from rastos.kernel.build import build
from rastos.kernel.config_show import Asked, Option, show_options, who_asked
from rastos.kernel.fragments import Merged, OptionGroup, Override, Request, merge, option_groups, parse_fragment
from rastos.kernel.kconfig import Dropped, read_config
from rastos.kernel.plan import BuildPlan, plan_build
from rastos.kernel.profiles import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
from rastos.kernel.resolve import ResolvedConfig, explained, resolve_config
from rastos.kernel.sources import Source, find_source
from rastos.kernel.store import BuiltKernel, built

__all__ = [
    "Asked",
    "BuildPlan",
    "BuiltKernel",
    "Dropped",
    "Expected",
    "KernelProfile",
    "MayDrop",
    "Meant",
    "Merged",
    "Offer",
    "Option",
    "OptionGroup",
    "Override",
    "Request",
    "ResolvedConfig",
    "Source",
    "build",
    "built",
    "explained",
    "find_source",
    "load_profile",
    "merge",
    "offers",
    "option_groups",
    "parse_fragment",
    "plan_build",
    "profiles",
    "read_config",
    "resolve_config",
    "show_options",
    "who_asked",
]
