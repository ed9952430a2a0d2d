"""The little that is read of ELF files here: a section, the build id, what modinfo(8) shows of a module (elf(5))."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from rastos.errors import IntegrityError

SIGNED = b"~Module signature appended~\n"  # the last bytes of a signed module (kernel/module/signing.c)
_LARGEST = 64 << 20  # bytes of a section
_NOTE = 3  # NT_GNU_BUILD_ID


def section(path: Path, name: str) -> bytes | None:
    """The content of a section of a 64-bit ELF file, None where it has none of that name. IntegrityError: damaged, or no ELF."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
                raise IntegrityError("not a 64-bit ELF file", on=path, next_step="give what the compiler made")
            (table,) = struct.unpack_from("<Q", head, 40)
            size, count, names = struct.unpack_from("<HHH", head, 58)
            file.seek(table)
            rows = [struct.unpack_from("<IIQQQQ", file.read(size)) for _ in range(count)]
            texts = _content(file, rows[names])
            for row in rows:
                if texts[row[0] : texts.index(b"\0", row[0])] == name.encode():
                    return _content(file, row)
    except (struct.error, IndexError, ValueError) as error:
        raise IntegrityError(f"a damaged ELF file: {error}", on=path, next_step="build it again") from error
    return None


def build_id(path: Path) -> str:
    """The build id in hex, empty where the linker wrote none. IntegrityError as `section`."""
    note = section(path, ".note.gnu.build-id") or section(path, ".notes") or b""
    at = 0
    while at + 12 <= len(note):
        name, size, kind = struct.unpack_from("<III", note, at)
        start = at + 12 + -(-name // 4) * 4
        if kind == _NOTE and note[at + 12 : at + 16] == b"GNU\0":
            return note[start : start + size].hex()
        at = start + -(-size // 4) * 4
    return ""


def module_facts(path: Path) -> dict[str, str]:
    """What a module says of itself: name, vermagic, license, depends, version… IntegrityError: it isn't a module."""
    info = section(path, ".modinfo")
    if info is None:
        raise IntegrityError("this is no kernel module: it has no .modinfo", on=path, next_step="give a .ko file")
    pairs = [text.partition("=") for text in info.decode("utf-8", "replace").split("\0") if "=" in text]
    return {key: value for key, _, value in pairs}


def signed(path: Path) -> bool:
    """Whether a signature is appended to a module; not whether it holds."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() < len(SIGNED):
            return False
        file.seek(-len(SIGNED), 2)
        return file.read() == SIGNED


def _content(file: BinaryIO, row: tuple[int, ...]) -> bytes:
    if row[5] > _LARGEST:
        raise ValueError(f"a section of {row[5]:,} bytes")
    file.seek(row[4])
    data = file.read(row[5])
    if len(data) != row[5]:
        raise ValueError("it ends early")
    return data
