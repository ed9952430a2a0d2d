"""Configuration that an upgrade did not want to overwrite: `.pacnew` and its kin, found, compared, merged."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError

from .database import open_decompressed, read_local
from .target import Target
from .verification import backup_digests

# ending: what it is, seen from the file without it
ENDINGS = {
    ".pacnew": "new",
    ".dpkg-new": "new",
    ".dpkg-dist": "new",
    ".ucf-dist": "new",
    ".rastos-new": "new",
    ".pacsave": "saved",
    ".pacorig": "saved",
    ".dpkg-old": "saved",
}
_MERGEABLE = 1 << 22  # bytes; larger configuration isn't text that people merge


@dataclass(frozen=True)
class ConfigFile:
    """A file beside a configuration file: `path` is the file itself (in the tree), `other` the one beside it.

    `kind` is new (what the package brings now) or saved (what was there before); `edited` says whether the file itself
    differs from what its package shipped.
    """

    path: str
    other: str
    kind: str
    package: str
    same: bool
    edited: bool


@dataclass(frozen=True)
class Merge:
    """The outcome of a three-way merge: the text, and how many places are at odds."""

    text: str
    conflicts: int
    base: str


def find_config_files(target: Target) -> tuple[ConfigFile, ...]:
    """Every such file below /etc and beside any configuration file a package names."""
    digests: dict[str, tuple[str, str]] = {}
    for record in read_local(target.database).values():
        folder = target.database / "local" / f"{record.name}-{record.version}"
        digests |= {path: (record.name, digest) for path, digest in backup_digests(folder).items()}
    folders = {"etc", *(path.rpartition("/")[0] for path in digests)}
    found = {}
    for place in _beside(target.root, folders):
        base, ending = os.path.splitext(place)
        kind = ENDINGS[ending]
        package, digest = digests.get(base, ("", ""))
        own = _read(target.root / base)
        found[place] = ConfigFile(
            path=f"/{base}",
            other=f"/{place}",
            kind=kind,
            package=package,
            same=own is not None and own == _read(target.root / place),
            edited=own is None or not digest or hashlib.md5(own, usedforsecurity=False).hexdigest() != digest,
        )
    return tuple(found[key] for key in sorted(found))


def chosen_config(target: Target, path: str) -> ConfigFile:
    """The one of a path (either of the two names). UserError: there is none, with near names."""
    from .manifest import near
    from .ownership import place_in

    every = find_config_files(target)
    plain = f"/{place_in(target.root, path)}"
    match = [item for item in every if plain in (item.path, item.other)]
    if not match:
        step = near(plain, [item.path for item in every], "there are")
        raise UserError("no new or saved version lies beside this file", on=plain, next_step=step)
    return match[0]


def config_difference(target: Target, item: ConfigFile) -> str:
    """A unified diff from the file to the one beside it."""
    mine, other = _text(target, item.path), _text(target, item.other)
    lines = difflib.unified_diff(mine.splitlines(True), other.splitlines(True), item.path, item.other)
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def merge_config(target: Target, item: ConfigFile, folders: Iterable[Path]) -> Merge:
    """Merge what was edited and what the package brings, from the version both come from.

    That version is looked for in cached packages (`folders`). UserError: it isn't there, or the file is no text.
    """
    from .text_merge import merge_text

    if item.kind != "new":
        raise UserError("only a new version can be merged", on=item.other, next_step="take it or leave it: --take")
    mine, new = _text(target, item.path), _text(target, item.other)
    found = _base(target, item, folders, new)
    if found is None:
        raise UserError(
            "the version both come from is not in the package cache",
            on=item.path,
            next_step="look at `rastos package config diff`, then --take new or --take old",
        )
    name, base = found
    merged = merge_text(base, mine, new, mine_name="yours", new_name=f"from {item.package or 'the package'}")
    return Merge(merged.text, merged.conflicts, name)


def settle_config(target: Target, item: ConfigFile, text: str | None) -> None:
    """Write the file (None: keep it as it is) with its own mode and owner, and remove the one beside it."""
    from rastos.host import safe_join, write_atomic

    path, other = safe_join(target.root, item.path.lstrip("/")), safe_join(target.root, item.other.lstrip("/"))
    if text is not None:
        model = (path if path.exists() else other).stat()
        write_atomic(path, text.encode("utf-8", "surrogateescape"), mode=stat.S_IMODE(model.st_mode))
        os.chown(path, model.st_uid, model.st_gid)
    other.unlink(missing_ok=True)


def config_content(target: Target, path: str) -> str:
    """The text of a file of the tree. UserError: it isn't there, or no text."""
    return _text(target, path)


def _beside(root: Path, folders: Iterable[str]) -> Iterator[str]:
    for folder in sorted(folders):
        start = root / folder
        deep = folder == "etc"
        if not start.is_dir() or start.is_symlink() or (folder.startswith("etc/")):
            continue
        for here, names, files in os.walk(start):
            if not deep:
                names.clear()
            for name in sorted(files):
                if os.path.splitext(name)[1] in ENDINGS:
                    yield os.path.relpath(os.path.join(here, name), root)


def _read(path: Path) -> bytes | None:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MERGEABLE:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _text(target: Target, path: str) -> str:
    data = _read(target.root / path.lstrip("/"))
    if data is None or b"\0" in data:
        raise UserError("this is not a text file", on=path, next_step="compare it with a program for its kind")
    return data.decode("utf-8", "surrogateescape")


def _base(target: Target, item: ConfigFile, folders: Iterable[Path], new: str) -> tuple[str, str] | None:
    """The file in the newest cached package of that name that ships another content than the new one."""
    if not item.package:
        return None
    installed = read_local(target.database).get(item.package)
    files = [path for folder in folders for path in sorted(folder.glob(f"{item.package}-*.pkg.tar.*"))]
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        if path.name.endswith((".sig", ".part")) or (installed and f"-{installed.version}-" in path.name):
            continue
        text = _shipped(path, item.path.lstrip("/"))
        if text is not None and text != new:
            return path.name, text
    return None


def _shipped(package: Path, wanted: str) -> str | None:
    try:
        with open_decompressed(package) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.name.removeprefix("./") == wanted and member.isreg() and member.size <= _MERGEABLE:
                    data = archive.extractfile(member)
                    return data.read().decode("utf-8", "surrogateescape") if data else None
    except (tarfile.TarError, EOFError, IntegrityError):
        return None  # a damaged file of the cache is no base
    return None
