"""What the cache of package files holds, and which of it nobody needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .relations import compare_versions

_FILE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)-(?P<arch>[^-]+)\.pkg\.tar\.[a-z0-9]+\Z")


@dataclass(frozen=True)
class Cleaning:
    """Files that may go and the bytes that frees (a file with a second name elsewhere frees nothing by itself)."""

    remove: tuple[Path, ...]
    freed: int
    kept: int


def plan_cleaning(cache: Path, *, keep: int, needed: Iterable[str] = ()) -> Cleaning:
    """Package files beyond the newest `keep` versions of each name; `needed` file names stay (lockfiles, installed).

    `cache` is rastos's cache folder. Downloads that were converted already go too; half ones are resumed by the next fetch.
    """
    stay = set(needed)
    by_name: dict[tuple[str, str], dict[str, list[Path]]] = {}
    folders = [cache / "install/packages", *sorted((cache / "channels").glob("*/converted/*"))]
    kept = 0
    for folder in folders:
        for path in sorted(folder.glob("*.pkg.tar.*")) if folder.is_dir() else ():
            found = _FILE.match(path.name)
            if found and path.is_file():
                versions = by_name.setdefault((found["name"], found["arch"]), {})
                versions.setdefault(found["version"], []).append(path)
    gone: list[Path] = []
    for versions in by_name.values():
        ordered: list[str] = []
        for version in versions:
            at = next((n for n, other in enumerate(ordered) if compare_versions(version, other) > 0), len(ordered))
            ordered.insert(at, version)
        for number, version in enumerate(ordered):
            for path in versions[version]:
                if number < keep or path.name in stay:
                    kept += 1
                else:
                    gone.append(path)
    gone += [path for path in sorted((cache / "channels").glob("*/debs/*.deb")) if path.is_file()]
    if not keep:  # what was seen in archives that are all gone
        gone += [path for path in sorted((cache / "install/inspected").glob("*")) if path.is_file()]
    return Cleaning(tuple(gone), _freed(gone), kept)


def clean(cleaning: Cleaning) -> None:
    """Delete what may go, and folders that are empty then."""
    for path in cleaning.remove:
        path.unlink(missing_ok=True)
        if path.parent.parent.name == "converted":
            try:
                path.parent.rmdir()
            except OSError:
                pass  # something else lies there


def _freed(paths: Iterable[Path]) -> int:
    inodes: dict[tuple[int, int], list[int]] = {}
    for path in paths:
        status = path.stat()
        inodes.setdefault((status.st_dev, status.st_ino), [0, status.st_nlink, status.st_size])[0] += 1
    return sum(size for names, links, size in inodes.values() if names >= links)
