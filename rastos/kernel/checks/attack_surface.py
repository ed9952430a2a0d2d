"""Hardening, what needn't be there: after kernel-hardening-checker's list of what to leave out. Data; see `terms`."""

from __future__ import annotations

from .judge import table


def _off(names: str) -> tuple[str, ...]:
    return tuple(f"{name}=n" for name in names.split())


ATTACK_SURFACE = table(
    "attack surface",
    (
        ("defconfig", "programs can give up system calls", "SECCOMP=y", "SECCOMP_FILTER=y"),
        ("defconfig", "BPF is for administrators", "BPF_UNPRIV_DEFAULT_OFF=y | BPF_SYSCALL=n"),
        ("defconfig", "raw memory is no file", "STRICT_DEVMEM=y | DEVMEM=n"),
        ("defconfig", "transactional memory leaks", "X86_INTEL_TSX_MODE_OFF=y | CPU_SUP_INTEL=n"),
        ("kspp", "the kernel's log is for administrators", "SECURITY_DMESG_RESTRICT=y"),
        ("kspp", "root can't write into memory by ACPI", "ACPI_CUSTOM_METHOD=n"),
        ("kspp", "the heap's address can't be guessed", "COMPAT_BRK=n"),
        ("kspp", "raw memory is no file", *_off("DEVKMEM PROC_KCORE DEVMEM"), "IO_STRICT_DEVMEM=y | DEVMEM=n"),
        ("kspp", "files don't choose their interpreter by any magic number", "BINFMT_MISC=n"),
        ("kspp", "sockets of others aren't shown", "INET_DIAG=n"),
        ("kspp", "another kernel can't be started unsigned", "KEXEC=n"),
        ("kspp", "memory isn't written to disk unsigned", "HIBERNATION=n"),
        ("kspp", "old terminals let programs type for others", "LEGACY_PTYS=n", "LEGACY_TIOCSTI=n", "LDISC_AUTOLOAD=n"),
        (
            "kspp",
            "fewer ways into the kernel",
            *_off("COMPAT IA32_EMULATION X86_X32 X86_X32_ABI MODIFY_LDT_SYSCALL OABI_COMPAT"),
        ),
        ("kspp", "registers of the processor are no file", "X86_MSR=n"),
        ("kspp", "modules of another kernel stay out", "MODULE_FORCE_LOAD=n"),
        ("kspp", "a kernel without modules can't be given code", "MODULES=n"),
        ("kspp", "the vDSO's address can't be guessed", "COMPAT_VDSO=n"),
        ("kspp", "no page at a known address", "X86_VSYSCALL_EMULATION=n | LEGACY_VSYSCALL_NONE=y"),
        (
            "grsec",
            "it tells of the kernel's memory",
            *_off("ZSMALLOC_STAT PAGE_OWNER DEBUG_KMEMLEAK PROC_VMCORE PROC_PAGE_MONITOR MEM_SOFT_DIRTY DEVPORT"),
            *_off("HWPOISON_INJECT CACHESTAT_SYSCALL BUILD_SALT"),
            "PTDUMP_DEBUGFS=n & X86_PTDUMP=n",
            "PTDUMP_DEBUGFS=n & ARM_PTDUMP=n",
        ),
        (
            "grsec",
            "tracing shows and changes what the kernel does",
            *_off(
                "KPROBE_EVENTS UPROBE_EVENTS GENERIC_TRACER FUNCTION_TRACER STACK_TRACER HIST_TRIGGERS BLK_DEV_IO_TRACE"
            ),
            *_off("LATENCYTOP KCOV PREEMPTIRQ_TRACEPOINTS ENABLE_DEFAULT_TRACERS PROVE_LOCKING"),
        ),
        (
            "grsec",
            "debugging isn't for production",
            *_off(
                "DEBUG_FS NOTIFIER_ERROR_INJECTION FAIL_FUTEX PUNIT_ATOM_DEBUG ACPI_CONFIGFS EDAC_DEBUG DRM_I915_DEBUG"
            ),
            *_off("BCACHE_CLOSURES_DEBUG DVB_C8SECTPFE MTD_SLRAM MTD_PHRAM SUNRPC_DEBUG VCAP_KUNIT_TEST"),
            *_off("XFS_ONLINE_SCRUB_STATS PROVIDE_OHCI1394_DMA_INIT"),
        ),
        (
            "grsec",
            "rarely needed, and the past had holes",
            *_off(
                "BINFMT_AOUT USELIB CHECKPOINT_RESTORE USERFAULTFD IO_URING KCMP RSEQ X86_16BIT BLK_DEV_UBLK SMB_SERVER"
            ),
            *_off("MPTCP TLS TIPC"),
        ),
        (
            "maintainer",
            "its maintainers advise against it",
            *_off("DRM_LEGACY FB VT BLK_DEV_FD BLK_DEV_FD_RAWCMD NOUVEAU_LEGACY_CTX_SUPPORT N_GSM"),
        ),
        (
            "clipos",
            "rarely needed on a machine that is watched over",
            *_off("STAGING KSM KALLSYMS KEXEC_FILE CRASH_DUMP USER_NS X86_CPUID X86_IOPL_IOPERM ACPI_TABLE_UPGRADE"),
            *_off("EFI_CUSTOM_SSDT_OVERLAYS AIO"),
            "MAGIC_SYSRQ=n | MAGIC_SYSRQ_DEFAULT_ENABLE=0x0",
        ),
        ("lockdown", "lockdown would refuse it", *_off("EFI_TEST MMIOTRACE_TEST KPROBES BPF_SYSCALL")),
        (
            "a13xp0p0v",
            "rarely needed, and the past had holes",
            *_off("MMIOTRACE LIVEPATCH IP_DCCP IP_SCTP FTRACE VIDEO_VIVID INPUT_EVBUG KGDB CORESIGHT XFS_SUPPORT_V4"),
            *_off("BLK_DEV_WRITE_MOUNTED FAULT_INJECTION"),
            "TRIM_UNUSED_KSYMS=y | MODULES=n",
            "MAGIC_SYSRQ_SERIAL=n | MAGIC_SYSRQ_DEFAULT_ENABLE=0x0",
        ),
    ),
)
