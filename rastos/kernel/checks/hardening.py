"""Settings against attacks: the Kernel Self-Protection Project's recommendations, as kernel-hardening-checker holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .judge import Rule, Severity


def _on(names: str, reason: str, severity: Severity = "error", **more: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(
        Rule(tuple(name.split("|")), "set", reason, severity, more.get("unless", ())) for name in names.split()
    )


def _off(names: str, reason: str, severity: Severity = "error") -> tuple[Rule, ...]:
    return tuple(Rule((name,), "unset", reason, severity) for name in names.split())


HARDENING: tuple[Rule, ...] = (
    *_on("STRICT_KERNEL_RWX", "code can't be written, data can't be run"),
    *_on("STRICT_MODULE_RWX", "the same for modules", unless=()),
    *_on("VMAP_STACK STACKPROTECTOR_STRONG", "overflows of kernel stacks are caught"),
    *_on("RANDOMIZE_BASE RANDOMIZE_MEMORY", "addresses can't be guessed"),
    *_on("RANDOMIZE_KSTACK_OFFSET_DEFAULT|RANDOMIZE_KSTACK_OFFSET", "stack offsets differ from call to call"),
    *_on("HARDENED_USERCOPY", "copies to and from user space stay within their object"),
    *_on("FORTIFY_SOURCE", "overflows of known buffers are caught"),
    *_on("SLAB_FREELIST_RANDOM SLAB_FREELIST_HARDENED", "free lists of the allocator can't be forged"),
    *_on("SHUFFLE_PAGE_ALLOCATOR", "the order of pages can't be guessed"),
    *_on("INIT_ON_ALLOC_DEFAULT_ON", "new memory shows nothing old"),
    *_on("INIT_STACK_ALL_ZERO|GCC_PLUGIN_STRUCTLEAK_BYREF_ALL", "variables without a value show nothing old"),
    *_on("LIST_HARDENED|DEBUG_LIST", "corrupted lists are caught"),
    *_on("SECCOMP SECCOMP_FILTER", "programs can give up system calls"),
    *_on("SECURITY SECURITY_YAMA", "processes can't trace each other at will", "warning"),
    *_on("SECURITY_DMESG_RESTRICT", "the kernel's log is for administrators"),
    *_on("BPF_UNPRIV_DEFAULT_OFF", "BPF is for administrators"),
    *_on("BPF_JIT_ALWAYS_ON", "the interpreter is no gadget", unless=("BPF_JIT_NONE",)),
    *_on("CPU_MITIGATIONS|SPECULATION_MITIGATIONS", "flaws of processors are worked around"),
    *_on("MITIGATION_PAGE_TABLE_ISOLATION|PAGE_TABLE_ISOLATION", "Meltdown"),
    *_on("MITIGATION_RETPOLINE|RETPOLINE", "Spectre v2"),
    *_on("SYN_COOKIES", "floods of connections"),
    *_on("BUG", "a broken invariant stops the thread that broke it"),
    *_on("BUG_ON_DATA_CORRUPTION", "corrupted data stops the thread that found it", "warning"),
    *_on("SCHED_STACK_END_CHECK", "the end of a stack is watched", "warning"),
    *_on("INIT_ON_FREE_DEFAULT_ON", "freed memory shows nothing", "note"),
    *_on("ZERO_CALL_USED_REGS", "registers hold nothing for gadgets", "note"),
    *_on("SECURITY_LOCKDOWN_LSM", "root can't change the running kernel", "warning"),
    *_on("SECURITY_LANDLOCK", "programs can confine themselves", "warning"),
    *_on("MODULE_SIG|MODULE_SIG_FORCE", "only signed modules", "warning", unless=()),
    *_on("IOMMU_SUPPORT INTEL_IOMMU|AMD_IOMMU", "devices reach only their own memory", "note"),
    Rule(("DEFAULT_MMAP_MIN_ADDR",), ">=65536", "a null pointer of the kernel can't be given content"),
    Rule(("ARCH_MMAP_RND_BITS",), ">=32", "addresses of programs are hard to guess", "note"),
    Rule(("PANIC_ON_OOPS",), "set", "a kernel that stumbled isn't trusted", "note"),
    *_off("DEVMEM DEVKMEM PROC_KCORE DEVPORT", "raw memory is no file", "warning"),
    *_off("KEXEC", "another kernel can't be started unsigned", "warning"),
    *_off("HIBERNATION", "memory isn't written to disk unsigned", "warning"),
    *_off("LEGACY_PTYS LEGACY_TIOCSTI LDISC_AUTOLOAD", "old terminals let programs type for others"),
    *_off("X86_X32_ABI IA32_EMULATION", "fewer ways into the kernel", "note"),
    *_off("MODIFY_LDT_SYSCALL", "a system call nobody needs", "note"),
    *_off("COMPAT_BRK COMPAT_VDSO", "addresses that can be guessed for old programs' sake"),
    *_off("SECURITY_WRITABLE_HOOKS", "security modules can't be unhooked"),
    *_off("USERFAULTFD", "races can be won by pausing the kernel", "note"),
    *_off("BINFMT_MISC INET_DIAG", "rarely needed", "note"),
    *_off("ACPI_CUSTOM_METHOD", "root can't write into memory by ACPI"),
    *_off("SLAB_MERGE_DEFAULT", "objects of different kinds don't share caches", "note"),
)

# parameter: (values that will do, severity, reason)
COMMAND_LINE: Mapping[str, tuple[Sequence[str], Severity, str]] = {
    "slab_nomerge": (("", "1"), "note", "objects of different kinds don't share caches"),
    "page_alloc.shuffle": (("1", "on", "y"), "note", "the order of pages can't be guessed"),
    "randomize_kstack_offset": (("on", "1", "y"), "note", "stack offsets differ from call to call"),
    "vsyscall": (("none",), "note", "a page at a known address"),
}
