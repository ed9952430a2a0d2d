"""Hardening of a running system by sysctls: after kernel-hardening-checker's list. Data; see `terms`."""

from __future__ import annotations

from .judge import table

SYSCTL = table(
    "sysctl",
    (
        ("kspp", "constants of BPF programs aren't what they seem", "sysctl:net.core.bpf_jit_harden=2 | BPF_JIT=n"),
        (
            "a13xp0p0v",
            "a kernel that stumbles again and again stops",
            "sysctl:kernel.oops_limit=100",
            "sysctl:kernel.warn_limit=100",
        ),
        ("kspp", "the kernel's log is for administrators", "sysctl:kernel.dmesg_restrict=1"),
        (
            "kspp",
            "measuring is for administrators (needs a patch of distributions)",
            "sysctl:kernel.perf_event_paranoid=3",
        ),
        ("kspp", "users can't be root in a namespace", "sysctl:user.max_user_namespaces=0"),
        (
            "kspp",
            "old terminals let programs type for others",
            "sysctl:dev.tty.ldisc_autoload=0",
            "sysctl:dev.tty.legacy_tiocsti=0",
        ),
        ("kspp", "addresses of the kernel are shown to nobody", "sysctl:kernel.kptr_restrict=2"),
        ("kspp", "another kernel can't be started", "sysctl:kernel.kexec_load_disabled=1 | KEXEC_CORE=n"),
        ("kspp", "BPF is for administrators", "sysctl:kernel.unprivileged_bpf_disabled=1 | BPF_SYSCALL=n"),
        ("kspp", "races can be won by pausing the kernel", "sysctl:vm.unprivileged_userfaultfd=0 | USERFAULTFD=n"),
        ("kspp", "no more code for the kernel once it runs", "sysctl:kernel.modules_disabled=1 | MODULES=n"),
        ("a13xp0p0v", "keys on a console don't command the kernel", "sysctl:kernel.sysrq=0 | MAGIC_SYSRQ=n"),
        (
            "kspp",
            "links and files in shared folders don't lead astray",
            "sysctl:fs.protected_symlinks=1",
            "sysctl:fs.protected_hardlinks=1",
            "sysctl:fs.protected_fifos=2",
            "sysctl:fs.protected_regular=2",
        ),
        ("kspp", "privileged programs leave no memory behind", "sysctl:fs.suid_dumpable=0"),
        ("kspp", "addresses of programs are hard to guess", "sysctl:kernel.randomize_va_space=2"),
        ("kspp", "processes can't trace each other", "sysctl:kernel.yama.ptrace_scope=3"),
    ),
)
