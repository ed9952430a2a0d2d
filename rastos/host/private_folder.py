"""A folder in memory that only this process sees: what is mounted in it is gone with the process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rastos.host.files import working_directory
from rastos.host.mounts import mounted
from rastos.host.namespace import private_mounts

RUNTIME = Path("/run/rastos")


@contextmanager
def in_memory(purpose: str) -> Iterator[Path]:
    """A new folder below /run/rastos, on a tmpfs in the private mount namespace."""
    private_mounts()
    RUNTIME.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        if not os.path.ismount(RUNTIME):  # else ours: this process has another one
            stack.enter_context(mounted("tmpfs", RUNTIME, "tmpfs", ("nosuid", "nodev", "mode=0700", "size=16m")))
        yield stack.enter_context(working_directory(RUNTIME, purpose))
