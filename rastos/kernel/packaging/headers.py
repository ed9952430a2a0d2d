"""The headers package: what building a module outside the kernel's tree needs, at /usr/lib/modules/<release>/build.

The same as Arch's linux-headers and the kernel's own scripts/package/install-extmod-build: Makefiles, headers, Kconfig files
for reading, the programs that Kbuild runs (modpost, objtool, sign-file, compiler plugins), Module.symvers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rastos.host import run
from rastos.kernel.packaging.layout import LICENSE, URL, Layout
from rastos.package import PackageMetadata

# from the build tree, where they are
GENERATED = (
    *("Module.symvers", "System.map", ".config", "include/config/auto.conf", "include/config/kernel.release"),
    *("tools/objtool/objtool", "tools/bpf/resolve_btfids/resolve_btfids"),
)
# of scripts/: only the kernel's own build and its developers use it
LEFT_OUT = frozenset(("atomic", "dtc", "kconfig", "package", "unifdef", "mk_elfconfig", "selinux", "coccinelle"))


def stage(layout: Layout) -> None:
    """The folder `build`, and the links by which it is found."""
    build = layout.modules / "build"
    for path in _from_source(layout.source):
        layout.copy(layout.source / path, build / path)
    for path in _from_build(layout.built):
        layout.copy(layout.built / path, build / path)
    _strip(build)
    if layout.config.get("DEBUG_INFO_BTF_MODULES") == "y":
        # a module's types are written against the kernel's, which vmlinux holds in .BTF
        layout.copy(layout.built / "vmlinux", build / "vmlinux")
        run(["strip", "-g", build / "vmlinux"], what="strip vmlinux for the headers package")
    (layout.modules / "source").symlink_to("build")
    named = layout.root / "usr/src" / layout.plan.profile.package
    named.parent.mkdir(parents=True)
    named.symlink_to(f"../lib/modules/{layout.release}/build")


def metadata(layout: Layout) -> PackageMetadata:
    """What the package says of itself: it goes with the kernel of exactly this version, and needs none to build for it."""
    plan = layout.plan
    return PackageMetadata(
        name=f"{plan.profile.package}-headers",
        version=layout.version,
        description=f"Headers and scripts for building modules for the kernel {layout.release}",
        arch="x86_64",
        url=URL,
        license=LICENSE,
        provides=(f"linux-headers={layout.version}",),
        builddate=plan.source.epoch,
    )


def _from_source(tree: Path) -> Iterator[str]:
    yield "Makefile"
    yield from (path.relative_to(tree).as_posix() for path in sorted((tree / "arch/x86").glob("Makefile*")))
    for folder in ("include", "scripts"):
        yield from _below(tree, folder)
    for place in sorted(path for path in (tree / "arch/x86").rglob("include") if path.is_dir()):
        yield from _below(tree, place.relative_to(tree).as_posix())
    yield from _kconfig_files(tree)


def _from_build(tree: Path) -> Iterator[str]:
    yield from (name for name in GENERATED if (tree / name).is_file())
    for folder in ("include/generated", "arch/x86/include/generated", "scripts"):
        if (tree / folder).is_dir():
            yield from _below(tree, folder)


def _below(tree: Path, folder: str) -> Iterator[str]:
    """Files and links below a folder, sorted; no objects, no command records, no Python caches."""
    for place, folders, files in os.walk(tree / folder):
        left = LEFT_OUT if folder == "scripts" and Path(place) == tree / folder else frozenset()
        folders[:] = sorted(name for name in folders if name not in left and name != "__pycache__")
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in sorted((*files, *links)):
            if name in left or name.endswith((".o", ".cmd", ".a", ".s", ".pyc")):
                continue
            yield os.path.relpath(os.path.join(place, name), tree)


def _kconfig_files(tree: Path) -> Iterator[str]:
    for place, folders, files in os.walk(tree):
        folders[:] = sorted(folders)
        if Path(place) == tree:
            folders[:] = [name for name in folders if name not in ("Documentation", "tools", "scripts", "include")]
        elif Path(place) == tree / "arch":
            folders[:] = ["x86"]
        yield from (
            os.path.relpath(os.path.join(place, name), tree) for name in sorted(files) if name.startswith("Kconfig")
        )


def _strip(build: Path) -> None:
    """Programs without symbols and build id, which hold the folders of the build machine."""
    programs = []
    for folder in ("scripts", "tools"):
        for path in sorted((build / folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    head = file.read(18)
                if head[:4] == b"\x7fELF" and head[16] in (2, 3):  # programs and plugins
                    programs.append(path)
    for path in programs:
        run(["strip", "--strip-unneeded", "-R", ".note.gnu.build-id", path], what="strip the programs of the headers")
