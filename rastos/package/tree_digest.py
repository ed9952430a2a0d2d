"""The digest of a tree: the same for two trees that are the same, whoever made them and when.

One line per path, sorted by its bytes: kind, mode, owner, group, content or link, extended attributes, and the first name of
a hard link. Times are left out: they say when, not what. The exceptions below are the only other differences allowed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

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


@dataclass(frozen=True, slots=True)
class Leaf:
    """One path; `text` is its line without the path."""

    path: str
    text: str


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


def tree_differences(one: tuple[Leaf, ...], two: tuple[Leaf, ...]) -> tuple[Difference, ...]:
    """The paths that make two digests differ."""
    before = {leaf.path: leaf.text for leaf in one}
    after = {leaf.path: leaf.text for leaf in two}
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return tuple(Difference(path, before.get(path, ""), after.get(path, "")) for path in paths)


def _walk(root: bytes, folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            path = os.path.join(folder, entry.name)
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode) and f"{_text(path)}/**" not in EXCEPTIONS:
                yield from _walk(root, path)


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
