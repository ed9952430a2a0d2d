"""btrfs subvolumes: the only user of libbtrfsutil."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import btrfsutil

from rastos.errors import HostError

FS_INFO = 0x8400941F  # _IOR(BTRFS_IOCTL_MAGIC, 31, struct btrfs_ioctl_fs_info_args), linux/btrfs.h


def create(path: Path) -> None:
    """Make an empty subvolume."""
    _call(btrfsutil.create_subvolume, path, os.fspath(path))


def snapshot(source: Path, target: Path, *, read_only: bool = False, recursive: bool = False) -> None:
    """Make `target` a snapshot of `source`; `recursive`: of the subvolumes nested in it too (never read-only)."""
    options = {"recursive": True} if recursive else {"read_only": read_only}
    _call(btrfsutil.create_snapshot, target, os.fspath(source), os.fspath(target), **options)


def set_read_only(path: Path, value: bool) -> None:
    """Set or clear the subvolume's `ro` property: with it, nothing can write there, whatever the mount says."""
    _call(btrfsutil.set_subvolume_read_only, path, os.fspath(path), value)


def is_read_only(path: Path) -> bool:
    """Whether the subvolume has the `ro` property."""
    return bool(_call(btrfsutil.get_subvolume_read_only, path, os.fspath(path)))


def is_subvolume(path: Path) -> bool:
    """Whether a path is a subvolume's root."""
    return path.is_dir() and not path.is_symlink() and path.stat().st_ino == 256


def is_btrfs_subvolume(path: Path) -> bool:
    """Whether a path is a subvolume's root, on whatever file system it lies."""
    return path.is_dir() and not path.is_symlink() and bool(_call(btrfsutil.is_subvolume, path, os.fspath(path)))


def identity(path: Path) -> str:
    """The subvolume's UUID: it stays the same under every name."""
    return bytes(_call(btrfsutil.subvolume_info, path, os.fspath(path)).uuid).hex()


def file_system(path: Path) -> str:
    """The id of the btrfs that a path lies on, as /sys/fs/btrfs names it (btrfs-ioctl(2), BTRFS_IOC_FS_INFO)."""
    answer = bytearray(1024)  # struct btrfs_ioctl_fs_info_args: max_id, num_devices, fsid, ...
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(number, FS_INFO, answer)
    finally:
        os.close(number)
    return str(uuid.UUID(bytes=bytes(answer[16:32])))


def generation(path: Path) -> int:
    """The transaction that changed the subvolume last, as far as it is committed."""
    return int(_call(btrfsutil.subvolume_info, path, os.fspath(path)).generation)


@dataclass(frozen=True, slots=True)
class Facts:
    """What btrfs knows of a subvolume: uuids are hex, "" for none; `made` is when, in seconds, and in which transaction.

    `changed`: the transaction in which something in it changed last.
    """

    path: str
    number: int
    parent_number: int
    uuid: str
    parent_uuid: str
    changed: int
    made: float
    made_in: int


def facts(path: Path) -> Facts:
    """Of the subvolume that a path lies in (btrfs-ioctl(2), BTRFS_IOC_GET_SUBVOL_INFO)."""
    return _facts(os.fspath(path), _call(btrfsutil.subvolume_info, path, os.fspath(path)))


def listed(top: Path) -> Iterator[Facts]:
    """All subvolumes below the top level, paths relative to it. Needs root."""
    try:
        for path, info in btrfsutil.SubvolumeIterator(os.fspath(top), top=5, info=True):
            yield _facts(path, info)
    except btrfsutil.BtrfsUtilError as error:
        raise HostError(f"btrfs refused: {error}", on=top, next_step="run it as root (sudo)") from error


def _facts(path: str, info: Any) -> Facts:
    parent = bytes(info.parent_uuid)
    return Facts(
        path,
        info.id,
        info.parent_id,
        bytes(info.uuid).hex(),
        parent.hex() if any(parent) else "",
        info.ctransid,
        info.otime,
        info.otransid,
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What a subvolume is to `btrfs send`, UUIDs in hex ("" where none): `received` is the one it was sent as, `changed`
    the transaction of its last change, `sent_changed` that of the one it was received from."""

    uuid: str
    received: str
    parent: str
    changed: int
    sent_changed: int

    @property
    def sent_as(self) -> str:
        """The UUID a stream of it carries, the same on every machine that has it."""
        return self.received or self.uuid


def identities(path: Path) -> Identity:
    """The UUIDs and transactions of a subvolume (btrfs-subvolume(8), show)."""
    found = _call(btrfsutil.subvolume_info, path, os.fspath(path))
    words = [bytes(item).hex().strip("0") and bytes(item).hex() for item in (found.received_uuid, found.parent_uuid)]
    return Identity(bytes(found.uuid).hex(), words[0], words[1], int(found.ctransid), int(found.stransid))


def delete(path: Path) -> None:
    """Delete a subvolume with those nested in it; a path that is not there is no error."""
    if not path.exists():
        return
    if is_read_only(path):
        set_read_only(path, False)
    _call(btrfsutil.delete_subvolume, path, os.fspath(path), recursive=True)


def being_deleted(path: Path) -> int:
    """How many deleted subvolumes the file system has not freed yet (libbtrfsutil, btrfs_util_deleted_subvolumes)."""
    return len(_call(btrfsutil.deleted_subvolumes, path, os.fspath(path)))


def drop_folder(folder: Path) -> None:
    """Remove a folder with the files and subvolumes in it; one that is not there is no error."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif is_subvolume(path):
            delete(path)
        else:
            drop_folder(path)
    folder.rmdir()


def sync(path: Path) -> None:
    """Commit the file system: all that was done before is durable after (libbtrfsutil, btrfs_util_sync)."""
    _call(btrfsutil.sync, path, os.fspath(path))


def _call(function: Callable[..., Any], path: Path, *arguments: object, **named: object) -> Any:
    try:
        return function(*arguments, **named)
    except btrfsutil.BtrfsUtilError as error:
        if error.errno in (28, 5):  # ENOSPC, EIO: said as what they are
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
        raise HostError(
            f"btrfs refused: {error}", on=path, next_step="check with `btrfs check` that the file system is sound"
        ) from error
