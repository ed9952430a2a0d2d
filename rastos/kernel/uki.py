"""Unified kernel images: boot stub, kernel, initramfs and command line as one EFI program (UAPI, UKI specification; ukify(1)).

The sections are appended to systemd's stub: .osrel, .cmdline, .uname, .initrd, and .linux as the last, for a kernel unpacks itself
beyond its own end (systemd-stub(7)). No time is written, so the same parts give the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError

UKI_STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
PAGE = 4096
_READABLE_DATA = 0x40000040  # IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ
_SECTION = struct.Struct("<8sIIII12xI")
_STEP = "install the package with systemd's boot stub again (Debian: systemd-boot-efi)"


@dataclass(frozen=True, slots=True)
class UkiParts:
    """What goes into one: `os_release` as os-release(5), `options` the command line."""

    stub: Path
    kernel: Path
    initramfs: Path | None
    options: str
    os_release: str
    release: str

    def sections(self) -> list[tuple[str, bytes]]:
        """In the order in which they are appended."""
        found = [(".osrel", self.os_release.encode()), (".cmdline", self.options.encode())]
        found.append((".uname", self.release.encode()))
        if self.initramfs is not None:
            found.append((".initrd", self.initramfs.read_bytes()))
        return [*found, (".linux", self.kernel.read_bytes())]


def make_uki(parts: UkiParts) -> bytes:
    """The EFI program. IntegrityError: the stub is none, is signed already, or has no room for further sections."""
    image = bytearray(parts.stub.read_bytes())
    at = _headers(image, parts.stub)
    present = _sections(image, at)
    new = parts.sections()
    alignment = max(at.file_alignment, 512)
    table = at.table + _SECTION.size * len(present)
    if any(name in dict(new) for name, *_ in present) or table + _SECTION.size * len(new) > at.headers_size:
        raise IntegrityError("the boot stub has no room for further sections", on=parts.stub, next_step=_STEP)
    # what comes after the last section are symbols, for debuggers only
    del image[max(start + size for _, _, _, size, start in present) :]
    struct.pack_into("<II", image, at.coff + 8, 0, 0)
    end = max(address + size for _, size, address, _, _ in present)
    for name, data in new:
        address = _aligned(end, max(at.section_alignment, PAGE))
        image += b"\0" * (_aligned(len(image), alignment) - len(image))
        size = _aligned(len(data), alignment)
        _SECTION.pack_into(image, table, name.encode(), len(data), address, size, len(image), _READABLE_DATA)
        image += data + b"\0" * (size - len(data))
        table += _SECTION.size
        end = address + len(data)
    struct.pack_into("<H", image, at.coff + 2, len(present) + len(new))
    struct.pack_into("<I", image, at.optional + 56, _aligned(end, max(at.section_alignment, PAGE)))
    struct.pack_into("<I", image, at.optional + 64, 0)  # the checksum; firmware doesn't look at it
    return bytes(image)


def read_uki(data: bytes, on: object = "") -> dict[str, bytes]:
    """Sections of a unified kernel image by name. IntegrityError: it is no EFI program."""
    image = bytearray(data)
    found = _sections(image, _headers(image, on, signed=True))
    return {name: data[start : start + min(size, raw)] for name, size, _, raw, start in found}


@dataclass(frozen=True, slots=True)
class _Headers:
    """Offsets and sizes in bytes (Microsoft, PE Format)."""

    coff: int
    optional: int
    table: int
    section_alignment: int
    file_alignment: int
    headers_size: int


def _headers(image: bytearray, on: object, *, signed: bool = False) -> _Headers:
    try:
        coff = struct.unpack_from("<I", image, 0x3C)[0] + 4
        length = struct.unpack_from("<H", image, coff + 16)[0]
        optional = coff + 20
        magic, certificate = (
            struct.unpack_from("<H", image, optional)[0],
            struct.unpack_from("<I", image, optional + 144)[0],
        )
        if image[:2] != b"MZ" or image[coff - 4 : coff] != b"PE\0\0" or magic != 0x20B or (certificate and not signed):
            raise IntegrityError("this is no 64-bit EFI program without a signature", on=on, next_step=_STEP)
        section_alignment, file_alignment = struct.unpack_from("<II", image, optional + 32)
        size = struct.unpack_from("<I", image, optional + 60)[0]
    except struct.error as error:
        raise IntegrityError("this is no EFI program", on=on, next_step=_STEP) from error
    return _Headers(coff, optional, optional + length, section_alignment, file_alignment, size)


def _sections(image: bytearray, at: _Headers) -> list[tuple[str, int, int, int, int]]:
    """Name, size in memory, address, size in the file, place in the file."""
    count = struct.unpack_from("<H", image, at.coff + 2)[0]
    found = []
    for number in range(count):
        try:
            name, size, address, raw, start, _ = _SECTION.unpack_from(image, at.table + number * _SECTION.size)
        except struct.error as error:
            raise IntegrityError("an EFI program that is cut off", next_step=_STEP) from error
        if start + raw > len(image):
            raise IntegrityError("an EFI program that is cut off", next_step=_STEP)
        found.append((name.rstrip(b"\0").decode("ascii", "replace"), size, address, raw, start))
    return found


def _aligned(value: int, to: int) -> int:
    return -(-value // to) * to
