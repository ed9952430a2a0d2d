"""The digest of a tree: the same for two trees that are the same, whoever made them and when.

One line per path, sorted by its bytes: kind, mode, owner, group, content or link, extended attributes, and the first name of
a hard link. Times are left out: they say when, not what. The exceptions below are the only other differences allowed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .target import Target

# path pattern -> why its content may differ; paths and modes still count, except below folders that are left out whole (/**)
EXCEPTIONS: Mapping[str, str] = {
    "var/log/**": "what was written down while it was made: times",
    "var/cache/ldconfig/aux-cache": "inode numbers and times of libraries",
    "etc/machine-id": "the identity of one machine",
    "var/lib/dbus/machine-id": "the same",
    "etc/ssh/ssh_host_*": "keys made at random while openssh was configured",
    "proc/**": "not of the tree",
    "sys/**": "not of the tree",
    "dev/**": "not of the tree",
    "run/**": "not of the tree",
    "tmp/**": "not of the tree",
}
_INSTALLED = re.compile(rb"%INSTALLDATE%\n\d+\n")
_BLOCK = 1 << 20
Known = Callable[[str, os.stat_result], str | None]
_KINDS = {
    stat.S_ISREG: "file",
    stat.S_ISDIR: "folder",
    stat.S_ISLNK: "link",
    stat.S_ISCHR: "device",
    stat.S_ISBLK: "device",
    stat.S_ISFIFO: "pipe",
    stat.S_ISSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One path; `text` is its line without the path."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Done:
    """A line that needed no thread."""

    text: str

    def result(self) -> str:
        """As a future's."""
        return self.text


@dataclass(frozen=True)
class Difference:
    """A path that differs: what was and what is, empty where it isn't there."""

    path: str
    before: str
    after: str


def manifest_of_tree(target: Target) -> tuple[Leaf, ...]:
    """Every path of a tree with what counts of it, sorted."""
    links: dict[tuple[int, int], str] = {}
    desc = f"{target.database.relative_to(target.root)}/local/*/desc"
    found = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        jobs = []
        for path, status in _walk(os.fsencode(target.root), b""):
            first = links.setdefault((status.st_dev, status.st_ino), _text(path)) if status.st_nlink > 1 else ""
            jobs.append((path, pool.submit(_leaf, os.fsencode(target.root), path, status, first, desc)))
        for path, job in sorted(jobs, key=lambda item: item[0]):
            found.append(Leaf(_text(path), job.result()))
    return tuple(found)


def digest_of_tree(target: Target) -> str:
    """SHA-256 over `manifest_of_tree`, in hexadecimal."""
    return digest_of_leaves(manifest_of_tree(target))


def digest_of_leaves(leaves: tuple[Leaf, ...]) -> str:
    """The digest of a list of paths."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(leaf.path.encode("utf-8", "surrogateescape") + b"\0" + leaf.text.encode() + b"\n")
    return digest.hexdigest()


def exact_manifest(root: Path, *, known: Known | None = None) -> tuple[Leaf, ...]:
    """Every path of a tree with all that counts of it, sorted: no exceptions, the tree must not have changed at all.

    `known`: the digest of a file's content where it is certain without reading. What can't be read (EIO: a checksum of
    btrfs is wrong) is `unreadable`, so that one bad file doesn't hide the others.
    """
    top = os.fsencode(root)
    links: dict[tuple[int, int], str] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        jobs: list[tuple[bytes, Future[str] | _Done]] = [(b".", _Done(_exact(top, b".", os.lstat(top), "", None)))]
        for path, status in _walk(top, b"", {}):
            first = links.setdefault((status.st_dev, status.st_ino), _text(path)) if status.st_nlink > 1 else ""
            sure = known(_text(path), status) if known and stat.S_ISREG(status.st_mode) else None
            if sure is None and stat.S_ISREG(status.st_mode):
                jobs.append((path, pool.submit(_exact, top, path, status, first, None)))
            else:
                jobs.append((path, _Done(_exact(top, path, status, first, sure))))
        return tuple(Leaf(_text(path), job.result()) for path, job in sorted(jobs, key=lambda item: item[0]))


def exact_text(root: Path, path: str, same_as: str = "") -> str:
    """The line of one path as `exact_manifest` has it; "" where there is none. `same_as`: first name of a hard link."""
    place = os.fsencode(path)
    try:
        status = os.lstat(os.path.join(os.fsencode(root), place))
    except OSError:
        return ""
    return _exact(os.fsencode(root), place, status, same_as, None)


def tree_differences(one: tuple[Leaf, ...], two: tuple[Leaf, ...]) -> tuple[Difference, ...]:
    """The paths that make two digests differ."""
    before = {leaf.path: leaf.text for leaf in one}
    after = {leaf.path: leaf.text for leaf in two}
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return tuple(Difference(path, before.get(path, ""), after.get(path, "")) for path in paths)


def _walk(
    root: bytes, folder: bytes, exceptions: Mapping[str, str] = EXCEPTIONS
) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            path = os.path.join(folder, entry.name)
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode) and (not exceptions or f"{_text(path)}/**" not in exceptions):
                yield from _walk(root, path, exceptions)


def _exact(root: bytes, path: bytes, status: os.stat_result, first: str, sure: str | None) -> str:
    place, mode = os.path.join(root, path), status.st_mode
    kind = next((word for test, word in _KINDS.items() if test(mode)), "?")
    content = sure or ""
    try:
        if kind == "file" and sure is None:
            content = _content(place, False)
        elif kind == "link":
            escaped = os.fsdecode(os.readlink(place)).encode("unicode_escape", "surrogateescape").decode()
            content = escaped.replace(" ", "\\x20")  # one word, whatever is in it
        elif kind == "device":
            letter = "c" if stat.S_ISCHR(mode) else "b"
            content = f"{letter}{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    except OSError as error:
        content = f"unreadable:{error.errno}"
    other = f" same as {first}" if first and first != _text(path) else ""
    return f"{kind} {stat.S_IMODE(mode):04o} {status.st_uid}:{status.st_gid} {content}{_attributes(place)}{other}"


def _leaf(root: bytes, path: bytes, status: os.stat_result, first: str, desc: str) -> str:
    place = os.path.join(root, path)
    mode, kind = status.st_mode, "?"
    content = ""
    name = _text(path)
    if stat.S_ISREG(mode):
        kind = "file"
        skipped = any(fnmatchcase(name, pattern) for pattern in EXCEPTIONS)
        content = "*" if skipped else _content(place, fnmatchcase(name, desc))
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind, content = "link", os.fsdecode(os.readlink(place)).encode("unicode_escape", "surrogateescape").decode()
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind, content = "device", f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    other = f" same as {first}" if first and first != name else ""
    return f"{kind} {stat.S_IMODE(mode):04o} {status.st_uid}:{status.st_gid} {content}{_attributes(place)}{other}"


def _content(place: bytes, installed: bool) -> str:
    digest = hashlib.sha256()
    with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as stream:
        if installed:  # the day of installation is no property of the tree
            digest.update(_INSTALLED.sub(b"", stream.read()))
        else:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _attributes(place: bytes) -> str:
    try:
        names = sorted(os.listxattr(place, follow_symlinks=False))
        pairs = [f" {name}={os.getxattr(place, name, follow_symlinks=False).hex()}" for name in names]
    except OSError:
        return ""
    return "".join(pairs)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
