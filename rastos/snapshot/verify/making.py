"""Making a path what a line of a manifest says it is; only the content of files comes from elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rastos.errors import IntegrityError

from ..copying import remove_path


def only_attributes(before: str, after: str) -> bool:
    """Whether two lines differ in mode, owner or attributes alone, and both are there."""
    was, now = before.split(" ", 4), after.split(" ", 4)
    return bool(after) and (was[0], was[3]) == (now[0], now[3]) and hard_link_of(before) == hard_link_of(after)


def hard_link_of(text: str) -> str:
    """The path whose other name a line describes; "" for none."""
    return text.partition(" same as ")[2]


def make_path(root: Path, place: Path, text: str) -> None:
    """A folder, link, device, pipe or second name as the line says, in the place of whatever is there."""
    kind, _, _, content = text.split(" ", 4)[:4]
    if kind == "folder":
        if place.is_symlink() or not place.is_dir():
            remove_path(place)
            place.mkdir()
        set_attributes(place, text)
        return
    remove_path(place)
    first = hard_link_of(text)
    if first:
        os.link(root / first, place, follow_symlinks=False)
        return
    if kind == "link":
        os.symlink(os.fsencode(content.encode().decode("unicode_escape")), os.fsencode(place))
    elif kind == "device":
        major, _, minor = content[1:].partition(":")
        letter = stat.S_IFCHR if content[0] == "c" else stat.S_IFBLK
        os.mknod(place, letter | 0o600, os.makedev(int(major), int(minor)))
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        raise IntegrityError(f"a {kind} can't be made again", on=place, next_step="replace the whole tree")
    set_attributes(place, text)


def set_attributes(place: Path, text: str) -> None:
    """Owner, mode and extended attributes as the line says, no more and no fewer."""
    words = text.split(" ", 4)
    uid, _, gid = words[2].partition(":")
    os.lchown(place, int(uid), int(gid))
    if words[0] != "link":
        os.chmod(place, int(words[1], 8))
    pairs = words[4].partition("same as ")[0].split() if len(words) > 4 else []
    wanted = {name: bytes.fromhex(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    for name in os.listxattr(place, follow_symlinks=False):
        if name not in wanted:
            os.removexattr(place, name, follow_symlinks=False)
    for name, value in wanted.items():
        os.setxattr(place, name, value, follow_symlinks=False)
