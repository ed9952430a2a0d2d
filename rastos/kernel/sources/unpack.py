"""Kernel archives into a tree, treated as hostile: nothing is written outside the new folder, nothing odd stays in it.

GNU tar refuses `..` members, takes the leading / from absolute ones and creates links that point upwards last; what
it unpacked is then searched for devices and for links out of the tree before anybody uses it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, RastosError
from rastos.host import run, working_directory

TAR = ("tar", "--extract", "--no-same-owner", "--no-same-permissions", "--delay-directory-restore")
ROOM = 2_200_000_000  # bytes: a kernel tree and, for a package, the archive in it


def unpack_deb(package: Path, tree: Path, work: Path) -> int:
    """The kernel tree inside a linux-source package; its size in bytes."""
    with working_directory(work, "unpack-") as folder:
        _room(folder, package)
        # bsdtar reads both layers of a .deb where dpkg is absent; dpkg-deb is the rule where it is there
        run(["dpkg-deb", "--extract", package, folder / "deb"], what=f"unpack {package.name}")
        archives = sorted((folder / "deb/usr/src").glob("linux-source-*.tar.*"))
        if len(archives) != 1:
            raise IntegrityError("the package holds no kernel source archive", on=package.name)
        return _unpack(archives[0], tree, folder / "tree")


def unpack_tarball(archive: Path, tree: Path, work: Path) -> int:
    """The one folder inside a kernel tarball; its size in bytes. Raises IntegrityError for anything suspicious."""
    with working_directory(work, "unpack-") as folder:
        _room(folder, archive)
        return _unpack(archive, tree, folder / "tree")


def not_unpacked(error: ExternalError, archive: Path, into: Path, what: str) -> RastosError:
    """What to say where a program could not unpack: HostError for a full disk, IntegrityError for the archive's fault."""
    if "No space left" in error.tail:
        return HostError("the disk is full", on=into, next_step="free space and run the command again")
    return IntegrityError(
        f"{what}; nothing of it was kept", on=archive, next_step="fetch it again from where it was published"
    )


def _unpack(archive: Path, tree: Path, into: Path) -> int:
    into.mkdir()
    try:
        result = run([*TAR, "--directory", into, "--file", archive], what=f"unpack {archive.name}")
    except ExternalError as error:
        raise not_unpacked(error, archive, into, "the kernel source archive is damaged or hostile") from error
    if "Removing leading" in result.stderr:
        raise _hostile(archive, "it has absolute or upward paths")
    top = [entry for entry in into.iterdir() if entry.name != "pax_global_header"]
    if len(top) != 1 or top[0].is_symlink() or not top[0].is_dir():
        raise _hostile(archive, "it is not one folder")
    size = inspect(top[0], archive)
    if not (top[0] / "Makefile").is_file() or not (top[0] / "Kconfig").is_file():
        raise IntegrityError(
            "the archive holds no kernel source: Makefile or Kconfig is missing",
            on=archive,
            next_step="give a kernel source tarball",
        )
    tree.parent.mkdir(parents=True, exist_ok=True)
    if tree.exists():  # left by a run that was killed before it wrote source.json
        shutil.rmtree(tree)
    top[0].rename(tree)
    return size


def inspect(top: Path, archive: Path) -> int:
    """Total size; refuses devices, sockets and links that leave the tree."""
    size = 0
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            size += facts.st_size
            if stat.S_ISLNK(facts.st_mode):
                target = os.path.normpath(os.path.join(folder, os.readlink(path)))
                if os.path.isabs(os.readlink(path)) or not f"{target}/".startswith(f"{top}/"):
                    raise _hostile(archive, f"{os.path.relpath(path, top)} links out of it")
            elif not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
                raise _hostile(archive, f"{os.path.relpath(path, top)} is a device or socket")
    return size


def _hostile(archive: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"the kernel source archive is hostile: {why}", on=archive, next_step="don't use it; nothing of it was kept"
    )


def room_for(folder: Path, need: float, what: str) -> None:
    """Raise HostError where fewer than `need` bytes are free."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise HostError(
            f"not enough space to unpack {what}: {free / 1e9:.1f} GB free, {need / 1e9:.1f} GB needed",
            on=folder,
            next_step="free space, or set another cache folder with RASTOS_CACHE",
        )


def _room(folder: Path, archive: Path) -> None:
    room_for(folder, min(ROOM, archive.stat().st_size * 15), "the kernel source")
