"""What depmod wrote about a kernel's modules: files, dependencies, aliases (depmod(8), modules.dep(5))."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from rastos.errors import IntegrityError

SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")
_FIRMWARE = re.compile(rb"(?:^|\0)firmware=([^\0]+)\0")
_LARGEST = 256 << 20


def module_name(path: str) -> str:
    """kernel/drivers/net/dummy.ko.zst → dummy; the kernel takes - and _ for the same."""
    name = path.rpartition("/")[2]
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.replace("-", "_")


@dataclass(frozen=True)
class ModuleIndex:
    """The modules of one release. `paths` are relative to usr/lib/modules/<release>; names have underscores."""

    folder: Path
    paths: dict[str, str] = field(default_factory=dict)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    soft: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[tuple[str, str], ...] = ()
    builtin: frozenset[str] = frozenset()

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """The loadable ones of `names` with all they need, each after what it needs. Built-in and unknown ones are left out."""
        found: dict[str, None] = {}

        def take(name: str, above: frozenset[str]) -> None:
            if name in found or name in above or name not in self.paths:
                return
            for need in (*self.soft.get(name, ()), *self.needs.get(name, ())):
                take(need, above | {name})
            found[name] = None

        for name in names:
            take(name.replace("-", "_"), frozenset())
        return tuple(found)

    def read(self, name: str) -> bytes:
        """The module's ELF file, decompressed. IntegrityError: it is damaged or not there."""
        path = self.folder / self.paths[name]
        try:
            data = path.read_bytes()
            if path.suffix == ".gz":
                return gzip.decompress(data)
            if path.suffix == ".xz":
                return lzma.decompress(data)
            if path.suffix == ".zst":
                import zstandard

                return b"".join(_pieces(cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(data))))
        except Exception as error:
            raise IntegrityError(
                f"a damaged kernel module: {error}", on=path, next_step="install the kernel's package again"
            ) from error
        return data


def _pieces(reader: IO[bytes]) -> Iterator[bytes]:
    """What unpacks to too much is an attack. Asked for all at once, the reader would take that much memory beforehand."""
    left = _LARGEST
    while piece := reader.read(1 << 20):
        left -= len(piece)
        if left < 0:
            raise ValueError(f"more than {_LARGEST} bytes")
        yield piece


def read_modules(folder: Path) -> ModuleIndex:
    """Read what depmod wrote in usr/lib/modules/<release>. IntegrityError: modules.dep isn't there, or leads out of it."""
    listing = folder / "modules.dep"
    if not listing.is_file():
        raise IntegrityError(
            "this kernel's modules are not indexed: modules.dep is missing",
            on=folder,
            next_step="install the kernel's package again",
        )
    paths: dict[str, str] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for line in _lines(listing):
        path, _, rest = line.partition(":")
        if path.startswith("/") or ".." in path.split("/"):
            raise IntegrityError(f"modules.dep names a path outside: {path}", on=listing)
        paths[module_name(path)] = path
        needs[module_name(path)] = tuple(module_name(item) for item in rest.split())
    soft: dict[str, tuple[str, ...]] = {}
    for line in _lines(folder / "modules.softdep"):
        words = line.split()
        if words[:1] == ["softdep"] and "pre:" in words:
            before = words[words.index("pre:") + 1 :]
            before = before[: before.index("post:")] if "post:" in before else before
            name = words[1].replace("-", "_")
            soft[name] = (*soft.get(name, ()), *(item.replace("-", "_") for item in before))
    aliases = tuple(
        (words[1], words[2].replace("-", "_"))
        for words in (line.split() for line in _lines(folder / "modules.alias"))
        if len(words) == 3 and words[0] == "alias"
    )
    builtin = frozenset(module_name(line) for line in _lines(folder / "modules.builtin"))
    return ModuleIndex(folder, paths, needs, soft, aliases, builtin)


def firmware_of(module: bytes) -> tuple[str, ...]:
    """Files below /usr/lib/firmware that a module may ask for, from its .modinfo section."""
    return tuple(dict.fromkeys(found.decode("utf-8", "replace") for found in _FIRMWARE.findall(module)))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
