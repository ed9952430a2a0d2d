"""A private mount namespace for this process: what it mounts, only it and its children see, and it dies with them."""

from __future__ import annotations

import ctypes
import os

from rastos.errors import HostError
from rastos.host.privilege import require_root

CLONE_NEWNS = 0x00020000  # unshare(2); os.unshare is Python 3.12's
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # mount(2)
_libc = ctypes.CDLL(None, use_errno=True)
_entered: int | None = None


def private_mounts() -> None:
    """Enter the private namespace, once per process. Call before any mount and before starting threads.

    Raises HostError without root or where the kernel refuses.
    """
    global _entered
    if _entered == os.getpid():
        return
    require_root("mount file systems")
    if _libc.unshare(CLONE_NEWNS) != 0 or _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        number = ctypes.get_errno()
        raise HostError(
            f"no private mount namespace: {os.strerror(number)}", next_step="run as root outside a container"
        )
    _entered = os.getpid()
