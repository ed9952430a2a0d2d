"""What an /etc is made of, path by path: type, mode, owner, content, extended attributes. Never times."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Item:
    """What a path is: type, mode, owner, content digest (or link target), extended attributes."""

    kind: int
    mode: int
    owner: tuple[int, int]
    content: str
    attributes: tuple[tuple[str, bytes], ...]

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == stat.S_IFDIR

    @property
    def file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == stat.S_IFREG

    def words(self) -> str:
        """Type, mode and owner, for people."""
        names = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        to = f" to {self.content}" if self.kind == stat.S_IFLNK else ""
        return f"{names.get(self.kind, 'special file')}{to} {self.mode:04o} {self.owner[0]}:{self.owner[1]}"


Tree = dict[str, Item]
SMALL = 1 << 20  # bytes: read at once


def read_tree(root: Path) -> Tree:
    """All paths below a folder, relative to it; symlinks are read, never followed."""
    found: Tree = {}
    stack = [""]
    base = os.fspath(root)  # plain text throughout: there are hundreds of paths, and each is looked at in every deploy
    while stack:
        folder = stack.pop()
        with os.scandir(f"{base}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                found[path] = item = _item(entry.path, entry.stat(follow_symlinks=False))
                if item.folder:
                    stack.append(path)
    return found


def _item(path: str, status: os.stat_result) -> Item:
    kind = stat.S_IFMT(status.st_mode)
    content = ""
    if kind == stat.S_IFREG:
        with open(path, "rb", buffering=0) as stream:
            small = status.st_size < SMALL
            content = (hashlib.sha256(stream.readall()) if small else hashlib.file_digest(stream, "sha256")).hexdigest()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        content = str(status.st_rdev)
    names = os.listxattr(path, follow_symlinks=False)
    attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
    mode = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
    return Item(kind, mode, (status.st_uid, status.st_gid), content, attributes)


def fingerprint(root: Path) -> str:
    """Changes with every change below a folder, and stays the same in a btrfs snapshot of it: inode and ctime."""
    total = hashlib.sha256()
    stack = [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            rows = sorted((entry.name, entry.stat(follow_symlinks=False), entry.path) for entry in entries)
        for name, status, path in rows:
            total.update(
                f"{name}\0{status.st_ino} {status.st_ctime_ns} {status.st_mode}\n".encode("utf-8", "surrogateescape")
            )
            if stat.S_ISDIR(status.st_mode):
                stack.append(Path(path))
    return total.hexdigest()
