"""Hardening by kernel parameters: after kernel-hardening-checker's list for x86_64. Data; see `terms`.

"not off" wants the parameter given, or `mitigations=auto,nosmt`, which asks for all of them.
"""

from __future__ import annotations

from .judge import table

_MITIGATIONS = (
    *("spectre_v2", "spectre_v2_user", "spectre_bhi", "spec_store_bypass_disable", "l1tf", "mds", "tsx_async_abort"),
    *("srbds", "mmio_stale_data", "retbleed", "spec_rstack_overflow", "gather_data_sampling", "reg_file_data_sampling"),
)
_WITH_SYMBOL = {"spectre_bhi": "MITIGATION_SPECTRE_BHI=y & ", "reg_file_data_sampling": "MITIGATION_RFDS=y & "}
_NEVER = (
    *("nosmep", "nosmap", "nokaslr", "nopti", "nospectre_v1", "nospectre_v2", "nospectre_bhb"),
    *("nospec_store_bypass_disable", "dis_ucode_ldr", "arm64.nobti", "arm64.nopauth", "arm64.nomte"),
)


def _default(parameter: str, value: str, symbol: str, *more: str) -> str:
    """A parameter, or the configuration's default where the parameter is not given."""
    return " | ".join((f"cmdline:{parameter}={value}", f"{symbol} & cmdline:{parameter}=-", *more))


# not given, the kernel decides by itself, which is no fault: a warning, though the checker calls it the default
_WORKED_AROUND = table(
    "command line",
    (
        (
            "defconfig",
            "a flaw of processors is worked around",
            *(
                f"cmdline:{name}!=off | {_WITH_SYMBOL.get(name, '')}cmdline:mitigations=auto,nosmt & cmdline:{name}=-"
                for name in _MITIGATIONS
            ),
        ),
    ),
    severity="warning",
)
COMMAND_LINE = _WORKED_AROUND + table(
    "command line",
    (
        ("defconfig", "it turns a protection off", *(f"cmdline:{name}=-" for name in _NEVER)),
        ("defconfig", "code can't be written, data can't be run", "cmdline:rodata=on | cmdline:rodata=-"),
        (
            "kspp",
            "all flaws of processors are worked around, hyper-threads off where that needs it",
            "cmdline:mitigations=auto,nosmt",
        ),
        (
            "kspp",
            "objects of different kinds don't share caches",
            "cmdline:slab_merge=-",
            "cmdline:slub_merge=-",
            "cmdline:slab_nomerge | SLAB_MERGE_DEFAULT=n & cmdline:slab_merge=- & cmdline:slub_merge=-",
        ),
        ("kspp", "the order of pages can't be guessed", "cmdline:page_alloc.shuffle=1"),
        ("kspp", "calls go only where their type allows (clang)", "cmdline:cfi=kcfi"),
        ("kspp", "new memory shows nothing old", _default("init_on_alloc", "1", "INIT_ON_ALLOC_DEFAULT_ON=y")),
        (
            "kspp",
            "freed memory shows nothing",
            _default(
                *("init_on_free", "1", "INIT_ON_FREE_DEFAULT_ON=y"),
                "cmdline:page_poison=1 & PAGE_POISONING_ZERO=y & cmdline:slub_debug=P",
            ),
        ),
        (
            "kspp",
            "copies to and from user space stay within their object",
            _default("hardened_usercopy", "1", "HARDENED_USERCOPY=y"),
            "cmdline:slab_common.usercopy_fallback=- & HARDENED_USERCOPY_FALLBACK=n",
        ),
        (
            "kspp",
            "memory errors are found by samples",
            _default("kfence.sample_interval", "100", "KFENCE_SAMPLE_INTERVAL=100"),
        ),
        (
            "kspp",
            "devices lose memory at once when it is taken from them",
            _default("iommu.strict", "1", "IOMMU_DEFAULT_DMA_STRICT=y"),
            _default("iommu.passthrough", "0", "IOMMU_DEFAULT_PASSTHROUGH=n"),
        ),
        (
            "kspp",
            "stack offsets differ from call to call",
            _default("randomize_kstack_offset", "1", "RANDOMIZE_KSTACK_OFFSET_DEFAULT=y"),
        ),
        ("kspp", "programs don't see the kernel's addresses", "cmdline:pti=on & cmdline:nopti=-"),
        ("clipos", "devices reach only their own memory", "cmdline:iommu=force"),
        (
            "defconfig",
            "transactional memory leaks",
            _default("tsx", "off", "X86_INTEL_TSX_MODE_OFF=y", "CPU_SUP_INTEL=n & cmdline:tsx=-"),
        ),
        ("kspp", "neighbours on a core see each other (costs much)", "cmdline:nosmt"),
        (
            "kspp",
            "no page at a known address",
            "cmdline:vsyscall=none | X86_VSYSCALL_EMULATION=n | LEGACY_VSYSCALL_NONE=y & cmdline:vsyscall=-",
            "cmdline:vdso32=0 | cmdline:vdso32=1 | COMPAT_VDSO=n & cmdline:vdso32=-",
        ),
        ("grsec", "debugging isn't for production", "cmdline:debugfs=off | DEBUG_FS=n"),
        ("a13xp0p0v", "keys on a console don't command the kernel", "cmdline:sysrq_always_enabled=-"),
        (
            "a13xp0p0v",
            "a mounted file system isn't written to behind its back",
            _default("bdev_allow_write_mounted", "0", "BLK_DEV_WRITE_MOUNTED=n"),
        ),
        (
            "a13xp0p0v",
            "fewer ways into the kernel",
            "cmdline:ia32_emulation=0 | IA32_EMULATION=n | IA32_EMULATION_DEFAULT_DISABLED=y & cmdline:ia32_emulation=-",
        ),
        ("defconfig", "addresses of programs are hard to guess", "cmdline:norandmaps=-"),
    ),
)
