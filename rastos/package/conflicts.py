"""File conflicts, found from the archives' listings before libalpm starts: all of them, with who owns what.

libalpm's own check stays behind this one. What it would let pass is let pass here: a path that the package itself or one
that goes had before, configuration that nobody owns, what a pattern allows to be overwritten.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

from .database import installed_files
from .inspection import Inspection
from .policy import matches
from .records import PackageRecord
from .target import Target

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class FileConflict:
    """`package` brings `path` (absolute in the tree), where `owner` has it already; empty: it is nobody's.

    `through`: a link in the tree that the file would be written through.
    """

    package: str
    path: str
    owner: str = ""
    through: str = ""

    def __str__(self) -> str:
        if self.through:
            return f"{self.package}: {self.path} would be written through the link {self.through}"
        return f"{self.package}: {self.path} exists already ({'owned by ' + self.owner if self.owner else 'owned by nobody'})"


class FileConflictError(UserError):
    """Files stand against a transaction; `conflicts` are all of them."""

    def __init__(self, conflicts: tuple[FileConflict, ...], root: Path) -> None:
        lines = [str(conflict) for conflict in conflicts]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        super().__init__(
            f"{len(lines)} files are in the way" if len(lines) > 1 else "a file is in the way",
            on=root,
            next_step="move what is yours, leave a package out, or allow it with `overwrite` in packages.toml;"
            " nothing was changed",
            detail="\n".join([*lines[:_SHOWN], *more]),
        )
        self.conflicts = conflicts


def check_conflicts(
    target: Target,
    installed: Mapping[str, PackageRecord],
    incoming: Mapping[str, Inspection],
    removed: Iterable[str],
    *,
    overwrite: tuple[str, ...] = (),
    no_extract: tuple[str, ...] = (),
) -> None:
    """FileConflictError lists every file of `incoming` packages that is in the way of another, or in the tree."""
    check = _Check(target, installed, incoming, {*removed, *incoming}, overwrite, no_extract)
    check.between_packages()
    check.with_the_tree()
    if found := tuple(check.owned()):
        raise FileConflictError(found, target.root)


class _Check:
    def __init__(
        self,
        target: Target,
        installed: Mapping[str, PackageRecord],
        incoming: Mapping[str, Inspection],
        going: Iterable[str],
        overwrite: tuple[str, ...],
        no_extract: tuple[str, ...],
    ) -> None:
        self.target = target
        self.installed = installed
        self.incoming = incoming
        self.overwrite = overwrite
        self.no_extract = no_extract
        self.found: list[FileConflict] = []
        # what the old versions and the removed packages have: it goes, or changes hands
        self.leaving = {
            path.rstrip("/")
            for name in going
            if name in installed
            for path in installed_files(target.database, installed[name])
        }
        self.folders: dict[str, str] = {"": ""}

    def between_packages(self) -> None:
        first: dict[str, tuple[str, bool]] = {}
        for name, inspection in self.incoming.items():
            for path in inspection.paths:
                folder = path.endswith("/")
                plain = path.rstrip("/")
                other, other_folder = first.setdefault(plain, (name, folder))
                if other != name and not (folder and other_folder) and not self._allowed(plain):
                    self.found.append(FileConflict(name, f"/{plain}", other))
        links = {link: name for name, inspection in self.incoming.items() for link in inspection.links}
        if not links:
            return
        for name, inspection in self.incoming.items():
            for folder_path in {path.rstrip("/").rpartition("/")[0] for path in inspection.paths}:
                link = _first_of(links, folder_path)
                if link and links[link] != name:
                    self.found.append(FileConflict(name, f"/{folder_path}", through=f"/{link}"))

    def with_the_tree(self) -> None:
        if not self.target.root.is_dir():
            return
        root = os.fspath(self.target.root)
        for name, inspection in self.incoming.items():
            for path in inspection.paths:
                plain = path.rstrip("/")
                if self.no_extract and matches(self.no_extract, plain):
                    continue
                link = self._link_above(root, plain)
                if link is None:
                    continue  # the folder isn't there yet
                if link:
                    self.found.append(FileConflict(name, f"/{plain}", through=f"/{link}"))
                elif not path.endswith("/") and plain not in self.leaving and self._is_file(f"{root}/{plain}"):
                    if not self._allowed(plain):
                        self.found.append(FileConflict(name, f"/{plain}"))

    def owned(self) -> list[FileConflict]:
        """The conflicts with their owners; configuration that nobody owns is none."""
        wanted = {conflict.path[1:] for conflict in self.found if not conflict.owner and not conflict.through}
        owners: dict[str, str] = {}
        for name, record in self.installed.items() if wanted else ():
            owners.update(dict.fromkeys(wanted.intersection(installed_files(self.target.database, record)), name))
        kept = []
        for item in self.found:
            plain = item.path[1:]
            unowned = not (item.owner or item.through or plain in owners)
            if unowned and plain in self.incoming[item.package].backup:
                continue
            owner = item.owner or owners.get(plain, "")
            kept.append(FileConflict(item.package, item.path, owner, item.through))
        return kept

    def _allowed(self, path: str) -> bool:
        return bool(self.overwrite) and matches(self.overwrite, path)

    def _is_file(self, path: str) -> bool:
        try:
            return not stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError:
            return False

    def _link_above(self, root: str, path: str) -> str | None:
        """A link of the tree that lies on the way to `path` and stays; "" where there is none, None: the way ends before."""
        parent = path.rpartition("/")[0]
        known = self.folders.get(parent)
        if known is not None:
            return None if known == "-" else known
        above = self._link_above(root, parent)
        if above is None:
            found = "-"
        elif above:
            found = above
        else:
            try:
                kind = os.lstat(f"{root}/{parent}").st_mode
                found = (parent if parent not in self.leaving else "-") if stat.S_ISLNK(kind) else ""
            except OSError:
                found = "-"
        self.folders[parent] = found
        return None if found == "-" else found


def _first_of(links: Mapping[str, str], path: str) -> str:
    """The link that is `path` or lies above it."""
    while path:
        if path in links:
            return path
        path = path.rpartition("/")[0]
    return ""


__all__ = ["FileConflict", "FileConflictError", "check_conflicts"]
