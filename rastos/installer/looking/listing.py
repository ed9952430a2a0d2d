"""Listing and reading files of an image, by `View`'s rules: nothing is followed out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rastos.errors import UserError

from .references import ImageReference, opened_snapshot
from .view import View, view_of

_BLOCK = 1 << 20
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path: `mode` as stat(2) has it, `size` in bytes, `modified` in seconds since 1970; owner and group by the
    names of the image ("" where it has none), `target` of a link, `device` numbers of a device."""

    path: str
    kind: str
    mode: int
    links: int
    uid: int
    gid: int
    owner: str
    group: str
    size: int
    modified: float
    target: str = ""
    device: tuple[int, int] = (0, 0)


def list_image(reference: ImageReference, path: str, *, recursive: bool = False) -> tuple[Entry, ...]:
    """What is in a folder of an image, by name, or the one path that is no folder. UserError: it is not there."""
    with opened_snapshot(reference, writable=False, purpose="list files") as opened:
        view = view_of(opened)
        parts, _, status = view.found(path, follow=path.endswith("/") or _leads_to_folder(view, path))
        people = _names(view, "etc/passwd"), _names(view, "etc/group")
        if not stat.S_ISDIR(status.st_mode):
            return (_entry(view, parts, people),)
        return tuple(_entry(view, item, people) for item in _below(view, parts, recursive))


def read_from_image(reference: ImageReference, path: str, into: IO[bytes]) -> int:
    """Write a file's bytes into a stream; their number. UserError: it is no regular file."""
    with opened_snapshot(reference, writable=False, purpose="read a file") as opened:
        _, place, status = view_of(opened).found(path)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                f"{path} is a {kind_of(status.st_mode)}, not a file",
                on=reference,
                next_step="list it: rastos image ls; copy a whole tree: rastos image cp",
            )
        total = 0
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK):
                into.write(block)
                total += len(block)
        into.flush()
        return total


def kind_of(mode: int) -> str:
    """A word for a file type."""
    return _KINDS.get(stat.S_IFMT(mode), "thing of an unknown kind")


def _leads_to_folder(view: View, path: str) -> bool:
    try:
        return stat.S_ISDIR(view.found(path)[2].st_mode)
    except UserError:
        return False


def _below(view: View, parts: tuple[str, ...], recursive: bool) -> Iterator[tuple[str, ...]]:
    """Paths in a folder; a link is named, never gone into."""
    for name in sorted(os.listdir(view.place(parts))):
        item = (*parts, name)
        yield item
        if recursive and stat.S_ISDIR(os.lstat(view.place(item)).st_mode):
            yield from _below(view, item, recursive)


def _entry(view: View, parts: tuple[str, ...], people: tuple[dict[int, str], dict[int, str]]) -> Entry:
    place = view.place(parts)
    status = os.lstat(place)
    device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return Entry(
        path="/" + "/".join(parts),
        kind=kind_of(status.st_mode),
        mode=status.st_mode,
        links=status.st_nlink,
        uid=status.st_uid,
        gid=status.st_gid,
        owner=people[0].get(status.st_uid, ""),
        group=people[1].get(status.st_gid, ""),
        size=status.st_size,
        modified=status.st_mtime,
        target=os.readlink(place) if stat.S_ISLNK(status.st_mode) else "",
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0),
    )


def _names(view: View, path: str) -> dict[int, str]:
    """Ids to names, of passwd(5) or group(5) in the image."""
    found: dict[int, str] = {}
    try:
        place: Path = view.found(path)[1]
        rows = place.read_text(encoding="utf-8", errors="replace").splitlines() if place.is_file() else []
    except (UserError, OSError):
        return found
    for row in rows:
        fields = row.split(":")
        if len(fields) > 3 and fields[2].isdigit():
            found.setdefault(int(fields[2]), fields[0])
    return found
