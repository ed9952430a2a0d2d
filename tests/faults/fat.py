"""FAT as firmware reads it: written anew from Microsoft's specification, so that mtools doesn't judge its own work."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

LONG_NAME, VOLUME, FOLDER, DELETED = 0x0F, 0x08, 0x10, 0xE5
DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder: its first cluster, and its size in bytes (files)."""

    folder: bool
    cluster: int
    size: int


class FatReader:
    """The ESP at a place in a file, as it was when this was made. Has what `Store` needs to look at an ESP.

    A name whose clusters don't hold together is listed, and raises OSError when read.
    """

    def __init__(self, disk: Path, offset: int, size: int) -> None:
        self.bytes = size
        with disk.open("rb") as stream:  # offset: a multiple of the page size
            self._data = mmap.mmap(stream.fileno(), size, prot=mmap.PROT_READ, offset=offset)
        (sector, per_cluster, reserved, fats, roots, small, _, short, _, _, _, large) = struct.unpack_from(
            "<HBHBHHBHHHII", self._data, 11
        )
        sectors, long = small or large, struct.unpack_from("<I", self._data, 36)[0]
        table = (short or long) * sector
        self._cluster = sector * per_cluster
        self._fat = reserved * sector
        root = self._fat + fats * table
        self._heap = root + roots * 32
        clusters = (sectors * sector - self._heap) // self._cluster
        self._wide = clusters >= 65525
        self._last = clusters + 1
        self.nodes: dict[str, Node] = {}
        self.used: dict[int, str] = {}  # cluster: whose it is
        self.crossed: list[str] = []
        if self._wide:
            first = struct.unpack_from("<I", self._data, 44)[0]
            self._walk("", b"".join(self._clusters(first, "/")), 0)
        else:
            self._walk("", self._data[root : self._heap], 0)

    def _next(self, cluster: int) -> int:
        if self._wide:
            return int(struct.unpack_from("<I", self._data, self._fat + 4 * cluster)[0]) & 0x0FFFFFFF
        return int(struct.unpack_from("<H", self._data, self._fat + 2 * cluster)[0])

    def _clusters(self, cluster: int, whose: str) -> list[bytes]:
        end = 0x0FFFFFF8 if self._wide else 0xFFF8
        found = []
        while cluster < end:
            if not 2 <= cluster <= self._last or self.used.get(cluster) == whose:
                raise OSError(f"{whose}: its chain of clusters is broken")
            if cluster in self.used:
                self.crossed.append(f"{whose} and {self.used[cluster]} have one cluster")
            self.used[cluster] = whose
            place = self._heap + (cluster - 2) * self._cluster
            found.append(self._data[place : place + self._cluster])
            cluster = self._next(cluster)
        return found

    def _walk(self, path: str, table: bytes, depth: int) -> None:
        parts: dict[int, bytes] = {}
        checksum = -1
        for place in range(0, len(table) - 31, 32):
            slot = table[place : place + 32]
            if slot[0] == 0:
                break
            if slot[0] == DELETED:
                parts, checksum = {}, -1
            elif slot[11] & LONG_NAME == LONG_NAME:
                if slot[0] & 0x40:
                    parts, checksum = {}, slot[13]
                parts[slot[0] & 0x3F] = slot[1:11] + slot[14:26] + slot[28:32]
            else:
                name = _name(slot, parts, checksum)
                parts, checksum = {}, -1
                if slot[11] & VOLUME or name in (".", ".."):
                    continue
                high, low = struct.unpack_from("<H", slot, 20)[0], struct.unpack_from("<H", slot, 26)[0]
                node = Node(bool(slot[11] & FOLDER), high << 16 | low, struct.unpack_from("<I", slot, 28)[0])
                whole = f"{path}/{name}"
                self.nodes[whole] = node
                if node.folder and depth < DEEPEST:
                    try:
                        self._walk(whole, b"".join(self._clusters(node.cluster, whole)), depth + 1)
                    except OSError:
                        continue  # a folder that is not whole is empty for whoever starts from it

    def list(self, directory: str) -> list[str]:
        """Names in a folder; [] where there is none."""
        lead = directory.rstrip("/") + "/"
        return sorted(
            path[len(lead) :] for path in self.nodes if path.startswith(lead) and "/" not in path[len(lead) :]
        )

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return path.rstrip("/") in self.nodes

    def read(self, path: str) -> bytes:
        """A file's content. Raises OSError where the chain of its clusters is broken or too short."""
        node = self.nodes[path]
        if node.size == 0:
            return b""
        for cluster in [number for number, whose in self.used.items() if whose == path]:
            del self.used[cluster]
        data = b"".join(self._clusters(node.cluster, path))
        if len(data) < node.size:
            raise OSError(f"{path}: its chain of clusters is too short")
        return data[: node.size]

    def read_all(self, directory: str) -> dict[str, bytes]:
        """The files of a folder, name to content."""
        names = [name for name in self.list(directory) if not self.nodes[f"{directory}/{name}"].folder]
        return {name: self.read(f"{directory}/{name}") for name in names}

    def size(self) -> int:
        """The partition's size in bytes."""
        return self.bytes


def _name(slot: bytes, parts: dict[int, bytes], checksum: int) -> str:
    """The long name where it is whole and belongs to this slot, else the short one."""
    total = 0
    for byte in slot[:11]:
        total = ((total & 1) << 7 | total >> 1) + byte & 0xFF
    if parts and total == checksum and set(parts) == set(range(1, len(parts) + 1)):
        text = b"".join(parts[number] for number in sorted(parts)).decode("utf-16-le", errors="replace")
        return text.partition("\0")[0]
    stem, kind = slot[:8].decode("latin-1").rstrip(), slot[8:11].decode("latin-1").rstrip()
    stem = stem.lower() if slot[12] & 0x08 else stem
    kind = kind.lower() if slot[12] & 0x10 else kind
    return f"{stem}.{kind}" if kind else stem
