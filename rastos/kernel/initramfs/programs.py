"""Programs of a tree for its initramfs: the file, its loader and every shared library it names (elf(5), ld.so(8))."""

from __future__ import annotations

import struct
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.kernel.elf import section

LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
_NEEDED = 1  # DT_NEEDED
_DYNAMIC = struct.Struct("<qQ")
# glibc opens it when a thread ends, which argon2 has: no program names it (pthread_exit(3))
_UNNAMED = "libgcc_s.so.1"


def program_files(tree: Path, program: str) -> dict[str, str]:
    """Where each file goes in an initramfs, and where it lies in the tree; all paths relative, links followed.

    Raises IntegrityError where the tree lacks the program or a library.
    """
    found = {program: _inside(tree, program)}
    interpreter = (section(tree / found[program], ".interp") or b"").rstrip(b"\0").decode()
    if interpreter:
        found[interpreter.lstrip("/")] = _inside(tree, interpreter.lstrip("/"))
    waiting = [*_needed(tree / found[program])]
    if interpreter and any((tree / folder / _UNNAMED).exists() for folder in LIBRARIES):
        waiting.append(_UNNAMED)
    while waiting:
        name = waiting.pop()
        # the loader looks there without a configuration, whatever the distribution's own folder is called
        target = f"usr/lib/{name}"
        if target in found or name == Path(interpreter).name:
            continue
        found[target] = _library(tree, name, program)
        waiting += _needed(tree / found[target])
    return dict(sorted(found.items()))


def _needed(path: Path) -> list[str]:
    dynamic, strings = section(path, ".dynamic") or b"", section(path, ".dynstr") or b""
    rows = [_DYNAMIC.unpack_from(dynamic, at) for at in range(0, len(dynamic) - _DYNAMIC.size + 1, _DYNAMIC.size)]
    return [strings[at : strings.index(b"\0", at)].decode() for tag, at in rows if tag == _NEEDED]


def _library(tree: Path, name: str, program: str) -> str:
    for folder in LIBRARIES:
        if "/" not in name and (tree / folder / name).exists():
            return _inside(tree, f"{folder}/{name}")
    raise IntegrityError(
        f"{program} needs {name}, which this tree lacks", on=tree, next_step="install the package with it again"
    )


def _inside(tree: Path, path: str) -> str:
    """Follow links as the tree's own root would, and never out of it."""
    base = tree.resolve()
    at, rest, left = base, [part for part in path.split("/") if part], 40
    while rest:
        part = rest.pop(0)
        if part == "..":
            at = at.parent if at != base else base
            continue
        at = at / part
        if at.is_symlink():
            left -= 1
            target = at.readlink()
            at = base if target.is_absolute() else at.parent
            rest = [word for word in str(target).split("/") if word not in ("", ".")] + rest
        if left < 0:
            break
    if not at.is_file():
        raise IntegrityError(f"{path} is missing in this tree", on=tree, next_step="install the package with it again")
    return str(at.relative_to(base))
