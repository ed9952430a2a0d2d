"""Whose file is it: paths of a tree and the installed packages that own them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

from .database import installed_files, read_local
from .graph import Graph
from .plan import shown_version
from .records import PackageRecord
from .target import Target

_LINKS = 40  # links followed in one path, as the kernel does


@dataclass(frozen=True)
class Owner:
    """A path as it is in the tree (links in its folders followed) and who owns it; nobody: no names."""

    path: str
    packages: tuple[str, ...]
    versions: tuple[str, ...] = ()
    there: bool = True


def files(target: Target, name: str) -> tuple[str, ...]:
    """Paths a package owns, folders with a slash at the end. UserError: it isn't installed."""
    record = Graph(read_local(target.database)).record(name)
    return tuple(f"/{path}" for path in installed_files(target.database, record))


def owners(target: Target, paths: Iterable[str]) -> tuple[Owner, ...]:
    """Who owns these paths, each absolute in the tree, or below its root folder as it is on the host."""
    wanted: dict[str, str] = {}
    for text in paths:
        wanted[text] = place_in(target.root, text)
    found: dict[str, list[PackageRecord]] = {}
    for record in read_local(target.database).values():
        listed = {path.rstrip("/") for path in installed_files(target.database, record)}
        for plain in dict.fromkeys(wanted.values()):
            if plain in listed:
                found.setdefault(plain, []).append(record)
    return tuple(
        Owner(
            f"/{plain}",
            tuple(record.name for record in found.get(plain, ())),
            tuple(shown_version(record.version) for record in found.get(plain, ())),
            os.path.lexists(target.root / plain),
        )
        for plain in wanted.values()
    )


def place_in(root: Path, text: str) -> str:
    """A path without leading slash, the links in its folders followed as inside the tree. UserError: too many links."""
    base = str(root.resolve())
    if base != "/" and (text == base or text.startswith(f"{base}/")):
        text = text[len(base) :]
    waiting = [part for part in text.split("/") if part not in ("", ".")][::-1]
    done: list[str] = []
    followed = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            done = done[:-1]
            continue
        path = root.joinpath(*done, part)
        if waiting and path.is_symlink():
            followed += 1
            if followed > _LINKS:
                raise UserError("too many links in this path", on=text, next_step="check the path")
            link = os.readlink(path)
            done = [] if link.startswith("/") else done
            waiting += [item for item in link.split("/") if item not in ("", ".")][::-1]
        else:
            done.append(part)
    return "/".join(done)
