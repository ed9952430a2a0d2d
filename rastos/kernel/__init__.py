"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.build import build
from rastos.kernel.fragments import Merged, Override, Request, merge, parse_fragment
from rastos.kernel.jobs import fitting_jobs
from rastos.kernel.kconfig import Dropped, read_config
from rastos.kernel.plan import BuildPlan, plan_build
from rastos.kernel.profiles import Expected, KernelProfile, MayDrop, Meant, load_profile, profiles
from rastos.kernel.signing import SigningKey, known_module_key, module_key
from rastos.kernel.sources import (
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
from rastos.kernel.store import BuiltKernel, built
from rastos.kernel.toolchain import Toolchain, find_toolchain

__all__ = [
    "BuildPlan",
    "BuiltKernel",
    "Dropped",
    "Expected",
    "KernelProfile",
    "Listed",
    "MIRROR",
    "MayDrop",
    "Meant",
    "Merged",
    "Offer",
    "Override",
    "Patch",
    "Release",
    "Request",
    "SigningKey",
    "Source",
    "Toolchain",
    "build",
    "built",
    "find_source",
    "find_toolchain",
    "fitting_jobs",
    "known_module_key",
    "list_sources",
    "load_profile",
    "merge",
    "module_key",
    "offers",
    "open_source",
    "parse_fragment",
    "plan_build",
    "profiles",
    "read_config",
    "read_series",
    "releases",
    "trust_keys",
]
