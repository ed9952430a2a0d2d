"""What this process may do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError

CAP_SYS_ADMIN = 21  # linux/capability.h


@dataclass(frozen=True, slots=True)
class Privilege:
    """The effective user and whether it may mount (CAP_SYS_ADMIN)."""

    user: int
    may_mount: bool

    @property
    def is_root(self) -> bool:
        """Root, and not one that only looks so, as in a container or a user namespace without the right to mount."""
        return self.user == 0 and self.may_mount

    @classmethod
    def current(cls) -> Privilege:
        """Read from this process (proc(5), CapEff)."""
        capabilities = 0
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                capabilities = int(line.split()[1], 16)
        return cls(os.geteuid(), bool(capabilities >> CAP_SYS_ADMIN & 1))


def require_root(purpose: str) -> None:
    """Raise HostError unless this process is root and may mount; `purpose` completes "root is needed to …"."""
    if not Privilege.current().is_root:
        raise HostError(
            f"root is needed to {purpose}",
            next_step="run it as root, for example with sudo (image create, boot and test need no root)",
        )
