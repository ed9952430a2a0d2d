"""Copying paths with everything that belongs to them: owner, mode, times, extended attributes; content as reflinks."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

FICLONE = 0x40049409  # ioctl_ficlone(2)


def copy_path(source: Path, target: Path) -> None:
    """Copy one path, not what is in it, to a name that is free. Sockets are left out."""
    found = source.lstat()
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        target.mkdir()
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(source), target)
    elif kind == stat.S_IFREG:
        _copy_content(source, target)
    elif kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
        os.mknod(target, found.st_mode, found.st_rdev)
    else:
        return
    copy_attributes(source, target)


def copy_attributes(source: Path, target: Path) -> None:
    """Owner, mode, extended attributes and times, in the order in which none undoes another."""
    found = source.lstat()
    os.lchown(target, found.st_uid, found.st_gid)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def copy_missing(source: Path, target: Path, *, leave_out: frozenset[str] = frozenset()) -> int:
    """Copy what `target` lacks of the tree `source`; nothing there is changed. Returns the number of paths copied.

    `leave_out`: paths relative to source. A symlink or file where source has a folder is left as it is.
    """
    count = 0
    stack = [""]
    # plain text throughout: a deploy looks at every path below /var
    base, goal = os.fspath(source), os.fspath(target)
    while stack:
        folder = stack.pop()
        with os.scandir(f"{base}/{folder}") as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if relative in leave_out:
                continue
            place = f"{goal}/{relative}"
            try:
                there: os.stat_result | None = os.lstat(place)
            except FileNotFoundError:
                copy_path(Path(entry.path), Path(place))
                count += 1
                there = None
            if entry.is_dir(follow_symlinks=False) and (there is None or stat.S_ISDIR(there.st_mode)):
                stack.append(relative)
    return count


def remove_path(path: Path) -> None:
    """Remove a file, a symlink or a folder with what is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy_content(source: Path, target: Path) -> None:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        except OSError:
            shutil.copyfileobj(reader, writer)
