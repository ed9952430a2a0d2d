"""Writing an initramfs: microcode in front, then modules, their index and the program that mounts the root."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from rastos.host import write_atomic

from . import cpio
from .modules import ModuleIndex, read_modules
from .plan import PROGRAM, InitramfsPlan, microcode_file

LEVEL = 12  # of zstd: 10 % smaller than the default, still a fraction of a second


def write_initramfs(plan: InitramfsPlan, tree: Path, out: Path) -> int:
    """Write it atomically; its size in bytes. Same plan, same bytes. IntegrityError: a module is damaged."""
    body = io.BytesIO()
    cpio.write_cpio(_members(plan, tree), body)
    data = _early(plan, tree) + _compressed(body.getvalue(), plan.compression)
    write_atomic(out, data)
    return len(data)


def _members(plan: InitramfsPlan, tree: Path) -> Iterator[cpio.Member]:
    folder = tree / "usr/lib/modules" / plan.release
    # a kernel without modules may get one all the same, for what is before its root
    index = read_modules(folder) if plan.modules else ModuleIndex(folder)
    names = {item.name for item in plan.modules}
    yield cpio.file("init", (tree / PROGRAM).read_bytes(), 0o755)
    for path in ("dev", "proc", "sys", "root"):
        yield cpio.directory(path)
    yield cpio.node("dev/console", 0o600, 5, 1)
    # in the order in which they can be loaded: name, then what it needs
    lines = []
    for item in plan.modules:
        needs = [name for name in index.closure([item.name]) if name != item.name]
        lines.append(" ".join([item.name, "always" if item.always else "device", *needs]))
    yield cpio.file("rastos/modules", "".join(f"{line}\n" for line in lines).encode())
    aliases = sorted({f"{name} {pattern}\n" for pattern, name in index.aliases if name in names})
    yield cpio.file("rastos/aliases", "".join(aliases).encode())
    for item in sorted(plan.modules, key=lambda module: module.name):
        yield cpio.file(f"lib/modules/{item.name}.ko", index.read(item.name))
    for path in plan.firmware:
        yield cpio.file(f"lib/firmware/{path}", (tree / "usr/lib/firmware" / path).read_bytes())
    for target, path in plan.programs:
        yield cpio.file(target, (tree / path).read_bytes(), 0o755)


def _early(plan: InitramfsPlan, tree: Path) -> bytes:
    """Microcode has to be in an archive of its own, not compressed, before the other."""
    if not plan.microcode:
        return b""
    parts: dict[str, bytes] = {}
    for path in plan.microcode:
        name = microcode_file(path)
        parts[name] = parts.get(name, b"") + (tree / "usr/lib/firmware" / path).read_bytes()
    out = io.BytesIO()
    cpio.write_cpio((cpio.file(f"kernel/x86/microcode/{name}", parts[name]) for name in sorted(parts)), out)
    return out.getvalue() + b"\0" * (-out.tell() % 512)


def _compressed(data: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, 9, mtime=0)
    import zstandard

    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress(data)
