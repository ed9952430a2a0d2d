"""btrfs subvolumes: the only user of libbtrfsutil."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import btrfsutil

from rastos.errors import HostError


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
