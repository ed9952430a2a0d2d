"""Files that survive a power cut: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError

FICLONE = 0x40049409  # ioctl_ficlone(2)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # renameat2(2)


def sync_directory(path: Path) -> None:
    """fsync a folder, so that names made or removed in it are durable."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace a file in one step; the old content stays until the new one is durable."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    content = data.encode() if isinstance(data, str) else data
    try:
        with open(temporary, "xb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises IntegrityError when it is damaged, OSError when it can't be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"damaged JSON: {error}", on=path) from error


def rename_durable(source: Path, target: Path) -> None:
    """Rename and make it durable in both folders."""
    os.replace(source, target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def exchange(one: Path, other: Path) -> None:
    """Swap two names of one file system in one step: at no instant is either missing (renameat2(2)).

    OSError says why not: EXDEV (two file systems), EINVAL (this one can't), EBUSY (a mount point). Durable after a sync.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    at, names = AT_FDCWD, (os.fsencode(one), os.fsencode(other))
    if libc.renameat2(at, names[0], at, names[1], ctypes.c_uint(RENAME_EXCHANGE)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(one), None, os.fspath(other))


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(*parts: str | bytes) -> str:
    """One SHA-256 over several parts, each with its length, so that parts can't run into one another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a new name, durably: as a reflink where the file system can, sparse where the source is."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        with open(source, "rb") as reader, open(temporary, "xb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                _copy_sparse(reader.fileno(), writer.fileno(), os.fstat(reader.fileno()).st_size)
            os.fsync(writer.fileno())
        shutil.copymode(source, temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def _copy_sparse(source: int, target: int, size: int) -> None:
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            sent = os.sendfile(target, source, None, min(end - start, 1 << 26))
            if sent == 0:
                return
            start += sent
        position = end


@contextmanager
def working_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder of our own below `parent`, removed on leaving; those of dead processes are removed first."""
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(f".{prefix}.*.work"):
        owner = stale.name.split(".")[-3]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with suppress(FileNotFoundError):  # somebody else removes it as well
                _remove_tree(stale)
    path = parent / f".{prefix}.{os.getpid()}.{secrets.token_hex(4)}.work"
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        _remove_tree(path)


def _remove_tree(path: Path) -> None:
    """Remove a tree of ours, never crossing into another file system."""
    device = path.stat().st_dev
    for folder, names, _ in os.walk(path):
        for name in list(names):
            below = Path(folder, name)
            if not below.is_symlink() and below.lstat().st_dev != device and os.path.ismount(below):
                raise OSError(errno.EBUSY, "a file system is still mounted there", str(below))
    shutil.rmtree(path, ignore_errors=True)


def safe_join(root: Path, relative: str) -> Path:
    """`root/relative` with no way out: refuses absolute paths, `..` and symlinks below root that lead elsewhere.

    Raises IntegrityError. The last component may be a symlink (it is named, not followed).
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if relative.startswith("/") or ".." in parts or "\0" in relative or not parts:
        raise IntegrityError("a path leads out of its root", on=relative)
    base = root.resolve()
    parent = base.joinpath(*parts[:-1]).resolve()
    if parent != base and base not in parent.parents:
        raise IntegrityError("a symlink leads out of its root", on=relative)
    return parent / parts[-1]
