"""What a transaction that was killed leaves behind, found and cleared before the next one.

libalpm makes a package's database folder, unpacks the files, then writes `desc`. A folder without `desc` is a package that was
being unpacked: its files belong to nobody, and a new attempt would refuse to overwrite them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rastos.progress import Progress

from .database import installed_files, open_decompressed, read_local
from .members import read_members
from .records import parse_package_info
from .target import Target


def torn_packages(database: Path) -> tuple[str, ...]:
    """Names of packages that were being unpacked when libalpm died."""
    return tuple(dict.fromkeys(entry.name.rsplit("-", 2)[0] for entry in _torn(database)))


def clear_leftovers(target: Target, progress: Progress) -> None:
    """Remove files of torn packages that nobody owns (kept: configuration). That they are torn is still known then."""
    for entry in _torn(target.database):
        progress.note(f"clearing {entry.name}, which was being unpacked when libalpm died", "warning")
        packages = sorted(target.packages.glob(f"{_escaped(entry.name)}-*.pkg.tar.*"))
        if packages:
            _remove_leftovers(target, packages[0])


def forget_torn(target: Target) -> None:
    """Remove the entries of torn packages, right before the transaction that completes them."""
    for entry in _torn(target.database):
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
    backup: tuple[str, ...] = ()
    with open_decompressed(package) as stream:
        for member in read_members(stream):
            name = member.name.removeprefix("./")
            path = target.root / name
            if name == ".PKGINFO":
                backup = parse_package_info(member.content.decode("utf-8", "replace"), {}).backup
            # other files below /etc can't have been there before: they would have stood against the transaction
            if member.kind == "folder" or name.startswith(".") or name in owned or name in backup:
                continue
            # the package was inspected, but the tree may hold links
            if path.parent.resolve().is_relative_to(root) and (path.is_symlink() or path.is_file()):
                path.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
