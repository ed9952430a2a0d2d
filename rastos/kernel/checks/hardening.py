"""Settings against attacks, as kernel-hardening-checker holds them: configuration, command line, sysctls (x86_64).

Each rule says whose recommendation it is: defconfig (the kernel's own default), kspp (Kernel Self-Protection Project),
grsec (what grsecurity's patch turns off), clipos (CLIP OS), lockdown (what the lockdown LSM refuses), maintainer, and
a13xp0p0v (the checker's author).
"""

from __future__ import annotations

from .attack_surface import ATTACK_SURFACE
from .command_line import COMMAND_LINE
from .judge import Rule, table
from .self_protection import SELF_PROTECTION
from .sysctl import SYSCTL

SECURITY_POLICY = table(
    "security policy",
    (
        ("defconfig", "without it there are no security modules", "SECURITY=y"),
        ("kspp", "processes can't trace each other at will", "SECURITY_YAMA=y"),
        ("kspp", "programs can confine themselves", "SECURITY_LANDLOCK=y"),
        (
            "kspp",
            "security modules can't be unhooked",
            "SECURITY_SELINUX_DISABLE=n",
            "SECURITY_SELINUX_BOOTPARAM=n",
            "SECURITY_SELINUX_DEVELOP=n",
            "SECURITY_WRITABLE_HOOKS=n",
            "SECURITY_SELINUX_DEBUG=n",
        ),
        (
            "a13xp0p0v",
            "mandatory access control",
            "SECURITY_SELINUX=y | SECURITY_APPARMOR=y | SECURITY_SMACK=y | SECURITY_TOMOYO=y",
        ),
    ),
)
USER_SPACE = table(
    "user space",
    (
        ("clipos", "a crash writes no memory to disk", "COREDUMP=n"),
        ("a13xp0p0v", "addresses of programs are hard to guess", "ARCH_MMAP_RND_BITS=max"),
        ("kspp", "return addresses of programs are kept twice", "X86_USER_SHADOW_STACK=y; since 6.6"),
    ),
)
HARDENING: tuple[Rule, ...] = (
    *SELF_PROTECTION,
    *SECURITY_POLICY,
    *ATTACK_SURFACE,
    *USER_SPACE,
    *COMMAND_LINE,
    *SYSCTL,
)
