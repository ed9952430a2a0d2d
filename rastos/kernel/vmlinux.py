"""The uncompressed kernel with its symbols, for debuggers: from the debug package, or from the build tree that made it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import read_json, run, working_directory
from rastos.kernel.store import BuiltKernel

MARKER = "rastos-build.json"


@dataclass(frozen=True, slots=True)
class Vmlinux:
    """`path` of the ELF file; `scripts` with the kernel's gdb commands where there are some; whether it has lines and types."""

    path: Path
    scripts: Path | None
    debug_info: bool


def find_vmlinux(kernel: BuiltKernel, cache: Path) -> Vmlinux:
    """The vmlinux of exactly this build. UserError: neither package nor tree have it (any more).

    `cache` is the kernels' folder; what is unpacked from a package is kept there.
    """
    package = kernel.further("debug")
    if package is not None and package.path.is_file():
        place = cache / "debug" / package.sha256[:16]
        inside = f"usr/lib/debug/lib/modules/{kernel.release}"
        if not place.is_dir():
            with working_directory(cache / "work", "debug") as work:
                (work / "tree").mkdir()
                _take(package.path, work / "tree", f"{inside}/vmlinux*", f"{inside}/scripts/*")
                place.parent.mkdir(parents=True, exist_ok=True)
                os.rename(work / "tree", place)
        return _described(place / inside / "vmlinux")
    for marker in sorted((cache / "build").glob(f"*/{MARKER}")):
        if read_json(marker) == {"key": kernel.key, "finished": True} and (marker.parent / "vmlinux").is_file():
            return _described(marker.parent / "vmlinux")
    raise UserError(
        f"there is no vmlinux of {kernel.name} {kernel.version}",
        on=cache / "build",
        next_step='its build tree holds another build by now: build it again, or with packages = ["debug"] in its profile',
    )


def vmlinuz_of(kernel: BuiltKernel, folder: Path) -> Path:
    """The kernel file of a built kernel's package, taken out into `folder`. ExternalError: it has none."""
    name = f"usr/lib/modules/{kernel.release}/vmlinuz"
    _take(kernel.package, folder, name)
    return folder / name


def _take(package: Path, folder: Path, *patterns: str) -> None:
    """Unpack what fits; libarchive's tar leaves out nothing that was asked for and follows no path out of the folder."""
    words = [word for pattern in patterns for word in ("--include", pattern)]
    run(["bsdtar", "-x", "-o", "-f", package, "-C", folder, *words], what="unpack a kernel package")


def _described(path: Path) -> Vmlinux:
    scripts = path.with_name("vmlinux-gdb.py")
    sections = run(["readelf", "-SW", path], what="look into vmlinux").stdout
    return Vmlinux(path, scripts if scripts.exists() else None, ".debug_info" in sections)
