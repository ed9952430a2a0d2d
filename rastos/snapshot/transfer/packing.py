"""A tree as a tar archive: POSIX 2001 format (pax), numeric owners, extended attributes, hard links, sorted by path.

The same tree gives the same bytes: names of users and groups, and access and change times are left out; times of files are whole
seconds.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rastos.progress import Step

XATTR = "SCHILY.xattr."  # star(1)'s key, which GNU tar, libarchive and the OCI tools read and write too


def write_tree(root: Path, target: IO[bytes], step: Step, *, as_of: int | None = None) -> int:
    """Write every path of a tree; the number of paths. Sockets are left out. No time is later than `as_of` (seconds since 1970)."""
    count, size = 0, 0
    first: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18) as tar:
        for path, status in _walk(os.fsencode(root), b""):
            member = _member(os.path.join(os.fsencode(root), path), os.fsdecode(path), status)
            if member is None:
                continue
            if as_of is not None:
                member.mtime = min(member.mtime, as_of)
            key = (status.st_dev, status.st_ino)
            if member.isreg() and status.st_nlink > 1:
                if key in first:
                    member.type, member.linkname, member.size = tarfile.LNKTYPE, first[key], 0
                    member.pax_headers = {}
                else:
                    first[key] = member.name
            if member.isreg():
                with open(os.open(os.path.join(root, os.fsdecode(path)), os.O_RDONLY | os.O_NOFOLLOW), "rb") as content:
                    tar.addfile(member, content)
                size += member.size
                step.advance(size)
            else:
                tar.addfile(member)
            count += 1
    return count


def _walk(root: bytes, folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    if not folder:
        yield b".", os.lstat(root)
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            path = os.path.join(folder, entry.name)
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(root, path)


def _member(place: bytes, name: str, status: os.stat_result) -> tarfile.TarInfo | None:
    member = tarfile.TarInfo(name)
    mode = status.st_mode
    member.mode, member.uid, member.gid = stat.S_IMODE(mode), status.st_uid, status.st_gid
    member.mtime = int(status.st_mtime)
    if stat.S_ISREG(mode):
        member.size = status.st_size
    elif stat.S_ISDIR(mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.fsdecode(os.readlink(place))
    elif stat.S_ISFIFO(mode):
        member.type = tarfile.FIFOTYPE
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        member.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    else:
        return None
    # tarfile writes text as UTF-8, with surrogates as the bytes they stand for
    member.pax_headers = {
        XATTR + key: os.getxattr(place, key, follow_symlinks=False).decode("utf-8", "surrogateescape")
        for key in os.listxattr(place, follow_symlinks=False)
    }
    return member
