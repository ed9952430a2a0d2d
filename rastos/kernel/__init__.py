"""Kernels from profiles: source, configuration with provenance, build, pacman package."""

from rastos.kernel.build import (
    build,
)
from rastos.kernel.config_show import (
    Asked,
    Option,
    show_options,
    who_asked,
)
from rastos.kernel.fragments import (
    Merged,
    OptionGroup,
    Override,
    Request,
    merge,
    option_groups,
    parse_fragment,
)
from rastos.kernel.initramfs import (
    InitramfsModule,
    InitramfsPlan,
    kernel_facts,
    plan_initramfs,
    write_initramfs,
)
from rastos.kernel.jobs import (
    fitting_jobs,
)
from rastos.kernel.kconfig import (
    Dropped,
    read_config,
)
from rastos.kernel.plan import (
    BuildPlan,
    plan_build,
)
from rastos.kernel.profiles import (
    Expected,
    KernelProfile,
    MayDrop,
    Meant,
    load_profile,
    profiles,
)
from rastos.kernel.resolve import (
    ResolvedConfig,
    explained,
    resolve_config,
)
from rastos.kernel.secureboot import (
    SecureBootKey,
    read_secure_boot_key,
    sign_efi,
    verify_efi,
)
from rastos.kernel.signing import (
    SigningKey,
    known_module_key,
    module_key,
)
from rastos.kernel.sources import (
    Listed,
    MIRROR,
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
from rastos.kernel.store import (
    BuiltKernel,
    FurtherPackage,
    built,
)
from rastos.kernel.toolchain import (
    Toolchain,
    find_toolchain,
)

__all__ = [
    "Asked",
    "BuildPlan",
    "BuiltKernel",
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
    "build",
    "built",
    "explained",
    "find_source",
    "find_toolchain",
    "fitting_jobs",
    "kernel_facts",
    "known_module_key",
    "list_sources",
    "load_profile",
    "merge",
    "module_key",
    "offers",
    "open_source",
    "option_groups",
    "parse_fragment",
    "plan_build",
    "plan_initramfs",
    "profiles",
    "read_config",
    "read_secure_boot_key",
    "read_series",
    "releases",
    "resolve_config",
    "show_options",
    "sign_efi",
    "trust_keys",
    "verify_efi",
    "who_asked",
    "write_initramfs",
]
