"""Where the content of a lost file can be had again: other snapshots, and the packages of the cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from rastos.errors import IntegrityError, RastosError
from rastos.host import safe_join
from rastos.package import exact_text, open_decompressed, owners, read_local, target_for

from ..store import Store


class Source(Protocol):
    """Somewhere to look."""

    @property
    def label(self) -> str:
        """How a plan names it."""

    def find(self, wanted: dict[str, str]) -> Iterable[str]:
        """Which of these paths (with the SHA-256 they must have) it has."""

    def fetch(self, path: str, digest: str, into: Path) -> bool:
        """Put a file's content at `into`; False: it isn't there as it must be."""


@dataclass(frozen=True)
class SnapshotSource:
    """The same path in another snapshot, held to the digest."""

    tree: Path
    label: str

    def find(self, wanted: dict[str, str]) -> Iterator[str]:
        for path, digest in wanted.items():
            if self._is(path, digest):
                yield path

    def fetch(self, path: str, digest: str, into: Path) -> bool:
        if not self._is(path, digest):
            return False
        shutil.copyfile(self.tree / path, into)
        return True

    def _is(self, path: str, digest: str) -> bool:
        try:
            safe_join(self.tree, path)
        except IntegrityError:
            return False
        words = exact_text(self.tree, path).split(" ", 4)
        return words[0] == "file" and words[3] == digest


class CacheSource:
    """Package files in rastos' cache; whichever package owns a path in the tree is looked into, once."""

    label = "the package cache"

    def __init__(self, tree: Path, cache: Path) -> None:
        self.tree = tree
        self.cache = cache
        self._found: dict[str, tuple[Path, str]] = {}  # path -> package file, name in it

    def find(self, wanted: dict[str, str]) -> Iterator[str]:
        for file, paths in self._packages(wanted).items():
            try:
                yield from self._in_package(file, {path: wanted[path] for path in paths})
            except RastosError:
                continue  # a damaged package helps nobody

    def fetch(self, path: str, digest: str, into: Path) -> bool:
        file, name = self._found[path]
        with open_decompressed(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name == name and member.isreg() else None
                if content is not None:
                    with open(into, "xb") as writer:
                        shutil.copyfileobj(content, writer, 1 << 20)
                    return _sha256(open(into, "rb")) == digest
        return False

    def _packages(self, wanted: dict[str, str]) -> dict[Path, list[str]]:
        target = target_for(self.tree, self.cache, immutable=True)
        try:
            records = read_local(target.database)
            owned = owners(target, [f"/{path}" for path in wanted])
        except (RastosError, OSError):
            return {}  # the database itself is damaged
        found: dict[Path, list[str]] = {}
        for path, owner in zip(wanted, owned, strict=True):
            for name in owner.packages:
                for file in self._files(name, records[name].version):
                    found.setdefault(file, []).append(path)
        return found

    def _files(self, name: str, version: str) -> Iterator[Path]:
        pattern = re.compile(re.escape(f"{name}-{version.replace(':', '')}") + r"-[^-]+\.pkg\.tar\.[a-z0-9]+\Z")
        plain = re.compile(re.escape(f"{name}-{version}") + r"-[^-]+\.pkg\.tar\.[a-z0-9]+\Z")
        folders = [self.cache / "install/packages", *sorted((self.cache / "channels").glob("*/converted/*"))]
        for folder in (item for item in folders if item.is_dir()):
            for path in sorted(folder.glob(f"{name}-*.pkg.tar.*")):
                if path.is_file() and (plain.match(path.name) or pattern.match(path.name)):
                    yield path

    def _in_package(self, file: Path, wanted: dict[str, str]) -> Iterator[str]:
        with open_decompressed(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                content = tar.extractfile(member) if member.isreg() and path in wanted else None
                if content is not None and _sha256(content) == wanted[path]:
                    self._found[path] = (file, member.name)
                    yield path


def sources_of(store: Store, number: int, names: Iterable[str], cache: Path) -> tuple[Source, ...]:
    """What `names` says: ids or names of snapshots, `cache`; none: every other snapshot, the newest first, then the cache."""
    chosen = list(names)
    if not chosen:
        others = [item.id for item in reversed(store.snapshots()) if item.id != number]
        chosen = [*(str(item) for item in others), "cache"]
    found: list[Source] = []
    for name in chosen:
        if name == "cache":
            found.append(CacheSource(store.tree(number), cache))
        else:
            other = store.snapshot(name).id
            found.append(SnapshotSource(store.tree(other), f"snapshot {other}"))
    return tuple(found)


def _sha256(stream: IO[bytes]) -> str:
    with stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
