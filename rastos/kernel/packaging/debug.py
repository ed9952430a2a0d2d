"""The debug package: vmlinux and the modules' symbols below /usr/lib/debug, where gdb, crash, drgn and perf look; gdb scripts.

The symbols of an object are also found by its build id: /usr/lib/debug/.build-id/xx/yyyy.debug (gdb manual, "Debugging
Information in Separate Files").
"""

from __future__ import annotations

import os
from pathlib import Path

from rastos.host import run
from rastos.kernel.elf import build_id
from rastos.kernel.packaging.layout import LICENSE, URL, Layout
from rastos.package import PackageMetadata

GDB = "scripts/gdb/linux"


def stage(layout: Layout) -> None:
    """vmlinux as it was linked, one `.ko.debug` for each module, vmlinux-gdb.py with its scripts."""
    debug = layout.root / "usr/lib/debug"
    here = debug / "lib/modules" / layout.release
    layout.copy(layout.built / "vmlinux", here / "vmlinux")
    (here / "vmlinux").chmod(0o644)
    _by_build_id(debug, here / "vmlinux")
    for name in _modules(layout.built):
        target = here / "kernel" / f"{name}.debug"
        target.parent.mkdir(parents=True, exist_ok=True)
        run(["objcopy", "--only-keep-debug", layout.built / name, target], what=f"take the symbols of {name}")
        _by_build_id(debug, target)
    if layout.config.get("GDB_SCRIPTS") == "y":
        # gdb runs NAME-gdb.py with NAME, and the script looks for the others below its own folder
        layout.copy(layout.source / "scripts/gdb/vmlinux-gdb.py", here / "vmlinux-gdb.py")
        for tree in (layout.source, layout.built):
            for path in sorted((tree / GDB).glob("*.py")):
                layout.copy(path.resolve(), here / GDB / path.name)


def metadata(layout: Layout) -> PackageMetadata:
    """What the package says of itself."""
    plan = layout.plan
    kind = "Symbols" if layout.config.get("DEBUG_INFO") == "y" else "Symbol tables (no debug information was built)"
    return PackageMetadata(
        name=f"{plan.profile.package}-debug",
        version=layout.version,
        description=f"{kind} of the kernel {layout.release} and its modules",
        arch="x86_64",
        url=URL,
        license=LICENSE,
        builddate=plan.source.epoch,
    )


def _modules(built: Path) -> list[str]:
    """The modules as modules.order names them (objects: *.o), as paths in the build tree."""
    order = built / "modules.order"
    lines = order.read_text(encoding="utf-8").splitlines() if order.is_file() else []
    return [name for line in lines if (built / (name := line.removesuffix(".o") + ".ko")).is_file()]


def _by_build_id(debug: Path, path: Path) -> None:
    number = build_id(path)
    if not number:
        return  # found by name only
    link = debug / ".build-id" / number[:2] / f"{number[2:]}.debug"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(path, link.parent))
