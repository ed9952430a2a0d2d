"""The unpacked headers of a kernel that was built here: kept in the cache under the digest of their package."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from rastos.errors import UserError
from rastos.host import run, working_directory
from rastos.kernel.store import BuiltKernel


def choose_kernel(wanted: str, kernels: Sequence[BuiltKernel]) -> BuiltKernel:
    """The kernel of that package name, profile or release; the newest of several. UserError: none was built here."""
    for kernel in kernels:
        if wanted in (kernel.profile, kernel.name, kernel.release):
            return kernel
    known = sorted({kernel.profile for kernel in kernels})
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(
        f"no kernel '{wanted}' was built here",
        next_step=f"{hint}there are: {', '.join(known) or 'none'}; build one: rastos kernel build --profile {wanted}",
    )


def open_headers(kernel: BuiltKernel, cache: Path) -> Path:
    """The folder that `make -C` wants; unpacked once. UserError: no headers package was made with this kernel."""
    package = kernel.further("headers")
    if package is None:
        raise UserError(
            "no headers package was made with this kernel",
            on=kernel.name,
            next_step=f"make it: rastos kernel build --profile {kernel.profile} --package headers",
        )
    place = cache / "headers" / package.sha256[:24]
    build = place / "usr/lib/modules" / kernel.release / "build"
    if not place.is_dir():
        # the digest of the package was compared when the kernel was looked up (kernel/store)
        with working_directory(cache / "work", "headers-") as work:
            (work / "tree").mkdir()
            into = ("-C", work / "tree", "--no-same-owner")
            run(["bsdtar", "-x", "-f", package.path, *into, "usr"], what="unpack the headers package")
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(work / "tree", place)
            except OSError:
                if not place.is_dir():  # else another command was faster
                    raise
    return build
