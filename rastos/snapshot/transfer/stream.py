"""Looking through a btrfs send stream before `btrfs receive` gets it.

btrfs-receive(8) warns that it does little to check a stream: a crafted one can follow links, make devices and share extents of
any file of the file system. So every command is read here first (fs/btrfs/send.h of Linux, stream version 1, and 2 where two
stores of one process talk): one subvolume of the name, UUID and parent that the header promises, paths that stay in it, extents of
itself and its parent only.
"""

from __future__ import annotations

import struct

from rastos.errors import IntegrityError

NAME = "tree"
_MAGIC = b"btrfs-stream\0"
_COMMAND = struct.Struct("<IHI")
_ATTRIBUTE = struct.Struct("<HH")
_LARGEST = 1 << 18  # bytes of a command: BTRFS_SEND_BUF_SIZE_V1 is 64 KiB, that of version 2 somewhat more than 128 KiB
_SUBVOL, _SNAPSHOT, _MKNOD, _SYMLINK, _WRITE, _CLONE, _END = 1, 2, 5, 8, 15, 16, 21
_LAST = {1: 22, 2: 25}  # by version; the last one of version 2 writes compressed data as it lies on disk
_CONTENT = (_WRITE, 25)
_UUID, _PATH, _PATH_TO, _PATH_LINK, _CLONE_UUID, _CLONE_PATH = 1, 15, 16, 17, 20, 22
_DATA_ALONE = (
    b"\x13\0"  # in version 2 the content is the last attribute and has no length: it goes to the command's end
)


class Scanner:
    """Feed it every byte in order, before anybody else sees them; `finish` when there are no more."""

    def __init__(self, uuid: str, parent: str, *, devices: bool, version: int = 1) -> None:
        self.version = version
        self.uuid = uuid
        self.parent = parent
        self.devices = devices
        self.commands = 0
        self._rest = b""
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Look at the commands that these bytes complete. IntegrityError: one that must not be there."""
        data = self._rest + data
        at = 0
        if not self._begun:
            if len(data) < len(_MAGIC) + 4:
                self._rest = data
                return
            if not data.startswith(_MAGIC) or data[len(_MAGIC) : len(_MAGIC) + 4] != bytes([self.version, 0, 0, 0]):
                raise _refused(f"not a btrfs stream of version {self.version}")
            self._begun = True
            at = len(_MAGIC) + 4
        size, head = len(data), _COMMAND.size
        while size - at >= head:
            length, command, _ = _COMMAND.unpack_from(data, at)
            if length > _LARGEST:
                raise _refused("a command that is too long")
            if size - at - head < length:
                break
            at += head
            self._command(command, data, at, at + length)
            at += length
        self._rest = data[at:]

    def finish(self) -> None:
        """IntegrityError: the stream is not complete."""
        if not self._ended or self._rest:
            raise _refused("it is not complete")

    def _command(self, command: int, data: bytes, at: int, end: int) -> None:
        if self._ended:
            raise _refused("something behind its end")
        self.commands += 1
        first = self.commands == 1
        if first != (command in (_SUBVOL, _SNAPSHOT)):
            raise _refused("more than one subvolume" if not first else "no subvolume at its beginning")
        if not 0 < command <= _LAST[self.version]:
            raise _refused(f"a command of unknown kind {command}")
        if command == _END:
            self._ended = True
            return
        found = _attributes(data, at, end, only_path=command in _CONTENT, version=self.version)
        _inside(found.get(_PATH))
        if command in (_SUBVOL, _SNAPSHOT):
            self._subvolume(command, found)
        elif command == _CLONE:
            _inside(found.get(_CLONE_PATH))
            if found.get(_CLONE_UUID, b"").hex() not in (self.uuid, self.parent):
                raise _refused("extents of another subvolume")
        elif command == _MKNOD and not self.devices:
            raise _refused(f"a device: {_shown(found[_PATH])}")
        if _PATH_TO in found:
            _inside(found[_PATH_TO])
        if _PATH_LINK in found and command != _SYMLINK:
            _inside(found[_PATH_LINK])

    def _subvolume(self, command: int, found: dict[int, bytes]) -> None:
        if found.get(_PATH) != NAME.encode() or found.get(_UUID, b"").hex() != self.uuid:
            raise _refused("another subvolume than its header says")
        if (command == _SNAPSHOT) != bool(self.parent) or found.get(_CLONE_UUID, b"").hex() != self.parent:
            raise _refused("based on another subvolume than its header says")


def _attributes(data: bytes, at: int, end: int, *, only_path: bool, version: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at < end:
        if version > 1 and data[at : at + 2] == _DATA_ALONE:
            break
        if end - at < _ATTRIBUTE.size:
            raise _refused("a torn command")
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        if length > end - at:
            raise _refused("a torn command")
        if kind in found:
            raise _refused("an attribute twice in one command")
        # the content of files is not looked at: don't copy it
        found[kind] = b"" if only_path and kind != _PATH else data[at : at + length]
        at += length
    return found


def _inside(path: bytes | None) -> None:
    if path is None or path == b"":  # the subvolume itself
        return
    if path.startswith(b"/") or b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise _refused(f"a path that leads out: {_shown(path)}")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()[:120]


def _refused(why: str) -> IntegrityError:
    return IntegrityError(f"the stream is refused: {why}", next_step="nothing was kept of it; ask where it comes from")
