"""Unpacking a tar archive from somewhere else into an empty tree: what could lead out of it, or is no part of a system, is
refused, and the whole archive with it.

Every folder on the way to a path has to be a real folder that is there, so no link of the archive is ever followed. A device
is refused: a system makes its own in /dev. The whiteouts of OCI layers (image-spec, layer.md) are obeyed where asked.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rastos.errors import IntegrityError
from rastos.progress import Step

from ..copying import remove_path
from .packing import XATTR

WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_LONGEST = 4096  # bytes of a path
_XATTRS = re.compile(r"(user|security|trusted)\.[!-~]+\Z|system\.posix_acl_(access|default)\Z")
# what another file system put there for itself
_LEFT_OUT = ("trusted.overlay.", "user.overlay.", "security.selinux")


@dataclass
class Unpacked:
    """What came out of one archive."""

    paths: int = 0
    size: int = 0
    left_out: int = 0


def unpack(source: IO[bytes], root: Path, step: Step, *, layer: bool = False) -> Unpacked:
    """Unpack a plain tar stream into `root`, owners and modes as they are written. IntegrityError: refused or damaged."""
    done = Unpacked()
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=source, mode="r|", errorlevel=2) as tar:
            for member in tar:
                place = _place(root, member.name)
                name = place.name
                if layer and name.startswith(WHITEOUT):
                    _white_out(root, place)
                    continue
                _one(tar, member, root, place, done)
                if member.isdir():
                    folders.append((place, member))
                done.paths += 1
                done.size += member.size if member.isreg() else 0
                step.advance(done.size)
        while source.read(1 << 16):  # what is behind its end belongs to its digest
            pass
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
        raise IntegrityError(f"this is no sound tar archive: {error}", next_step="make the archive again") from error
    for place, member in reversed(folders):  # what was unpacked into them moved their times
        if place.is_dir() and not place.is_symlink():  # a later layer may have taken it away
            os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
    return done


def _place(root: Path, name: str) -> Path:
    """Where a member goes. Its folders are there, and are folders."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or len(os.fsencode(name)) > _LONGEST:
        raise _refused("a path that leads out", name)
    folder = root
    for part in parts[:-1]:
        folder = folder / part
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            folder.mkdir(mode=0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise _refused("a path through something that is no folder", name)
    return root.joinpath(*parts)


def _one(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, place: Path, done: Unpacked) -> None:
    if member.isdir():
        if place != root and (place.is_symlink() or not place.is_dir()):
            remove_path(place)
            place.mkdir(mode=0o700)
    elif place == root:
        raise _refused("the root as something else than a folder", member.name)
    else:
        if place.is_dir() and not place.is_symlink():
            raise _refused("something else in the place of a folder", member.name)
        place.unlink(missing_ok=True)
        if member.islnk():
            _hard_link(root, member, place)
            return
        if member.issym():
            os.symlink(member.linkname, place)
        elif member.isfifo():
            os.mkfifo(place, 0o600)
        elif member.isreg() and not member.issparse():
            _content(tar, member, place)
        else:
            raise _refused("a device" if member.isdev() else "an entry of another kind", member.name)
    _attributes(member, place, done)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None
    number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(number, "wb") as writer:
        shutil.copyfileobj(content, writer, 1 << 18)
        if writer.tell() != member.size:
            raise EOFError("it ends in the middle of a file")


def _hard_link(root: Path, member: tarfile.TarInfo, place: Path) -> None:
    first = _place(root, member.linkname)
    try:
        regular = stat.S_ISREG(first.lstat().st_mode)
    except FileNotFoundError:
        regular = False
    if not regular:
        raise _refused("a second name of something that is no file in it", member.name)
    os.link(first, place, follow_symlinks=False)


def _attributes(member: tarfile.TarInfo, place: Path, done: Unpacked) -> None:
    os.lchown(place, member.uid, member.gid)
    if not member.issym():
        os.chmod(place, member.mode & 0o7777)
    for key, value in member.pax_headers.items():
        if not key.startswith(XATTR):
            continue
        name = key.removeprefix(XATTR)
        if name.startswith(_LEFT_OUT):
            done.left_out += 1
            continue
        if not _XATTRS.match(name):
            raise _refused(f"an extended attribute of an unknown kind: {name[:60]!r}", member.name)
        try:
            os.setxattr(place, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EIO):
                raise
            raise _refused(f"the extended attribute {name}: {error.strerror}", member.name) from error
    os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)


def _white_out(root: Path, place: Path) -> None:
    """A file that says what of the layers below is gone."""
    if place.name == _OPAQUE:
        for path in list(place.parent.iterdir()) if place.parent != root.parent else ():
            remove_path(path)
    elif place.name != WHITEOUT:
        gone = place.with_name(place.name.removeprefix(WHITEOUT))
        if gone.name not in (".", ".."):
            remove_path(gone)


def _refused(why: str, name: str) -> IntegrityError:
    shown = name.encode("unicode_escape").decode()[:120]
    return IntegrityError(f"the archive is refused: {why}", on=shown, next_step="nothing was kept of it")
