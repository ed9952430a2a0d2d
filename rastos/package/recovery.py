"""What a transaction that was killed leaves behind, found and cleared before the next one.

libalpm makes a package's database folder, unpacks the files, then writes `desc`. A folder without `desc` is a package that was
being unpacked: its files belong to nobody, and a new attempt would refuse to overwrite them.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from rastos.progress import Progress

from .database import installed_files, open_decompressed, read_local
from .target import Target


def torn_packages(database: Path) -> tuple[str, ...]:
    """Names of packages that were being unpacked when libalpm died."""
    return tuple(dict.fromkeys(entry.name.rsplit("-", 2)[0] for entry in _torn(database)))


def clear_torn(target: Target, progress: Progress) -> None:
    """Remove torn entries, and the files of their packages that no installed package owns (kept: /etc)."""
    for entry in _torn(target.database):
        progress.note(f"clearing {entry.name}, which was being unpacked when libalpm died", "warning")
        packages = sorted(target.packages.glob(f"{_escaped(entry.name)}-*.pkg.tar.*"))
        if packages:
            _remove_leftovers(target, packages[0])
        shutil.rmtree(entry)


def _torn(database: Path) -> list[Path]:
    folder = database / "local"
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not (entry / "desc").is_file())


def _remove_leftovers(target: Target, package: Path) -> None:
    owned = {
        path for record in read_local(target.database).values() for path in installed_files(target.database, record)
    }
    root = target.root.resolve()
    with open_decompressed(package) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            path = target.root / name
            if member.isdir() or name.startswith((".", "etc/")) or name in owned:
                continue
            # the package was inspected, but the tree may hold links
            if path.parent.resolve().is_relative_to(root) and (path.is_symlink() or path.is_file()):
                path.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
