"""Files out of an image and into it.

Out: modes and times are kept, links stay links; owners, set-user-id bits and attributes only where they are asked for;
devices, pipes and sockets are left out. Nothing appears under its final name before it is complete.
In: into a private copy of the snapshot, which becomes a new one; below shared state (/var, /home, …) there directly.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import sync_directory
from rastos.snapshot import STATE, Intent, create_session

from .listing import kind_of
from .references import ImageReference, opened_snapshot
from .view import View, view_of

_KEPT = 0o777  # mode bits that are copied without `owners`


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: files, folders and links, bytes of files, and paths left out with what they are.

    `snapshot`: the one that was made, for a copy into an image; None where shared state was written to.
    """

    target: str
    paths: int
    size: int
    left_out: tuple[tuple[str, str], ...] = ()
    snapshot: int | None = None


def copy_from_image(
    reference: ImageReference, path: str, target: Path, *, owners: bool = False, force: bool = False
) -> Copied:
    """Copy a file or a whole tree out of an image. `target`: a folder to put it in, or its new name.

    UserError: it is not there; the target is there already and not to be replaced (`force`; a folder never is).
    """
    with opened_snapshot(reference, writable=False, purpose="copy files out") as opened:
        view = view_of(opened)
        parts, _, _ = view.found(path)
        if target.is_dir():
            target = target / (parts[-1] if parts else opened.image.path.stem)
        _check_free(target, force)
        copy = _Copy(view, owners)
        temporary = _beside(target)
        try:
            copy.run(parts, temporary)
            if not os.path.lexists(temporary):
                what = copy.left_out[0][1]
                raise UserError(f"{path} is a {what}, which is not copied", on=reference, next_step="name a file")
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
        sync_directory(target.absolute().parent)
        return Copied(str(target), copy.paths, copy.size, tuple(copy.left_out))


def copy_into_image(source: Path, reference: ImageReference, path: str, *, force: bool = False) -> Copied:
    """Copy a file or a tree into an image, owned by root: a new snapshot, or the shared state where the path is below it.

    What it replaces gives owner and mode. UserError: it is there already and not to be replaced (`force`; a folder never is).
    """
    if not source.is_file() and not source.is_dir():
        raise UserError("there is no such file here", on=source, next_step="name a file or a folder")
    with opened_snapshot(reference, writable=True, purpose="copy files in") as opened:
        view = view_of(opened)
        parts = view.resolve(path)
        if path.endswith("/") or view.place(parts).is_dir():
            parts = (*parts, source.name)
        if not parts:
            raise UserError("the root itself can't be replaced", on=reference, next_step="name a path below it")
        if parts[0] in STATE and opened.deployment is not None:
            copied = _put(source, view, parts, force)
            opened.store.sync()
            return copied
        with create_session(opened.store, opened.snapshot.id, f"image cp /{'/'.join(parts)}") as session:
            inside = View(session.tree)
            where = inside.resolve("/".join(parts))
            copied = _put(source, inside, where, force)
            made = session.commit(f"copied in: /{'/'.join(where)}", intent=Intent(files=True))
        return Copied(copied.target, copied.paths, copied.size, copied.left_out, made.id)


class _Copy:
    """One copy out of a view."""

    def __init__(self, view: View, owners: bool) -> None:
        self.view = view
        self.owners = owners
        self.paths = 0
        self.size = 0
        self.left_out: list[tuple[str, str]] = []

    def run(self, parts: tuple[str, ...], target: Path) -> None:
        source = self.view.place(parts)
        status = os.lstat(source)
        if stat.S_ISDIR(status.st_mode):
            target.mkdir(mode=0o700)
            for name in sorted(os.listdir(source)):
                self.run((*parts, name), target / name)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        elif stat.S_ISREG(status.st_mode):
            with (
                open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as reader,
                open(target, "xb", opener=_private) as writer,
            ):
                shutil.copyfileobj(reader, writer, 1 << 20)
            self.size += status.st_size
        else:
            self.left_out.append(("/" + "/".join(parts), kind_of(status.st_mode)))
            return
        self.paths += 1
        self._attributes(source, status, target)

    def _attributes(self, source: Path, status: os.stat_result, target: Path) -> None:
        if self.owners:
            os.lchown(target, status.st_uid, status.st_gid)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(target, stat.S_IMODE(status.st_mode) & (0o7777 if self.owners else _KEPT))
        if self.owners:
            for name in os.listxattr(source, follow_symlinks=False):
                os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _put(source: Path, view: View, parts: tuple[str, ...], force: bool) -> Copied:
    """From this machine to a resolved path of a view, by way of a temporary name; folders on the way are made."""
    for length in range(1, len(parts)):
        folder = view.place(parts[:length])
        if not os.path.lexists(folder):
            folder.mkdir()
            folder.chmod(0o755)
        elif folder.is_symlink() or not folder.is_dir():
            raise UserError(f"/{'/'.join(parts[:length])} is no folder", next_step="name another path")
    target = view.place(parts)
    _check_free(target, force)
    before = os.lstat(target) if os.path.lexists(target) else None
    copy, temporary = _Copy(View(source.resolve()), False), _beside(target)
    try:
        copy.run((), temporary)
        if before is not None and stat.S_ISREG(before.st_mode):
            os.chown(temporary, before.st_uid, before.st_gid)
            os.chmod(temporary, stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise
    return Copied("/" + "/".join(parts), copy.paths, copy.size, tuple(copy.left_out))


def _private(path: str, flags: int) -> int:
    """A file nobody else can read while it is written."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _check_free(target: Path, force: bool) -> None:
    if not os.path.lexists(target):
        return
    if target.is_dir() and not target.is_symlink():
        raise UserError("there is a folder of that name", on=target, next_step="name another target")
    if not force:
        raise UserError("there is something of that name", on=target, next_step="replace it with --force")


def _beside(target: Path) -> Path:
    if not target.absolute().parent.is_dir():
        raise UserError("there is no such folder", on=target.absolute().parent, next_step="make it first")
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
