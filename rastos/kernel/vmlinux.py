"""The uncompressed kernel with its symbols, for debuggers: from the debug package, or from the build tree that made it."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json, run, sha256_file, write_atomic
from rastos.kernel.store import BuiltKernel
from rastos.package import LocalRepository, open_decompressed

MARKER = "rastos-build.json"
_LARGEST = 4 << 30


@dataclass(frozen=True, slots=True)
class Vmlinux:
    """`path` of the ELF file; `scripts` of the kernel's gdb commands where they were built; whether it has lines and types."""

    path: Path
    scripts: Path | None
    debug_info: bool


def find_vmlinux(kernel: BuiltKernel, cache: Path, repository: LocalRepository) -> Vmlinux:
    """The vmlinux of exactly this build. UserError: neither package nor tree have it (any more).

    `cache` is the kernels' folder; what is unpacked from a package is kept there.
    """
    package = repository.find(f"{kernel.name}-debug")
    if package is not None and package.version == kernel.version:
        return _described(_unpacked(package.path, cache / "debug"))
    for marker in sorted((cache / "build").glob(f"*/{MARKER}")):
        if read_json(marker) == {"key": kernel.key, "finished": True} and (marker.parent / "vmlinux").is_file():
            return _described(marker.parent / "vmlinux")
    raise UserError(
        f"there is no vmlinux of {kernel.name} {kernel.version}",
        on=cache / "build",
        next_step='its build tree holds another build by now: build it again, or with packages = ["debug"] in its profile',
    )


def vmlinuz_of(kernel: BuiltKernel, folder: Path) -> Path:
    """The kernel file of a built kernel's package, put into `folder`. IntegrityError: it has none."""
    return _member(kernel.package, ("usr", "lib", "modules", kernel.release, "vmlinuz"), folder / "vmlinuz")


def _unpacked(package: Path, place: Path) -> Path:
    target = place / sha256_file(package)[:16] / "vmlinux"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        _member(package, ("usr", "lib", "debug", "vmlinux"), target)
    return target


def _member(package: Path, wanted: tuple[str, ...], target: Path) -> Path:
    """One file of a package: the first whose folders begin and whose name ends as `wanted`."""
    try:
        with open_decompressed(package) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                parts = tuple(member.name.removeprefix("./").split("/"))
                fits = parts[: len(wanted) - 1] == wanted[:-1] and parts[-1] == wanted[-1]
                if fits and member.isreg() and member.size < _LARGEST:
                    data = archive.extractfile(member)
                    assert data is not None
                    write_atomic(target, data.read())
                    return target
    except (tarfile.TarError, EOFError) as error:
        raise IntegrityError(f"a damaged package: {error}", on=package) from error
    raise IntegrityError(f"this package has no {wanted[-1]}", on=package)


def _described(path: Path) -> Vmlinux:
    scripts = path.with_name("vmlinux-gdb.py")
    sections = run(["readelf", "-SW", path], what="look into vmlinux").stdout
    return Vmlinux(path, scripts if scripts.exists() else None, ".debug_info" in sections)
