"""The files of an image as paths: links are followed inside the image only, whatever they say.

Without a snapshot named this is the machine as it boots next: the snapshot's tree, the /etc of its deployment, and the state
that deployments share. With a snapshot named it is that snapshot's tree alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import safe_join
from rastos.snapshot import STATE

from .references import OpenSnapshot

MAXIMUM_LINKS = 40  # path_resolution(7)


@dataclass(frozen=True, slots=True)
class View:
    """A root put together: `mounts` are paths that lie elsewhere ("etc" → folder of the deployment)."""

    root: Path
    mounts: Mapping[str, Path] = field(default_factory=dict)

    def place(self, parts: tuple[str, ...]) -> Path:
        """Where a path lies; its parts are resolved already, no link is among them but perhaps the last."""
        for length in range(len(parts), 0, -1):
            folder = self.mounts.get("/".join(parts[:length]))
            if folder is not None:
                return folder.joinpath(*parts[length:])
        return self.root.joinpath(*parts)

    def resolve(self, path: str, *, follow: bool = True) -> tuple[str, ...]:
        """The parts of a path with every link followed inside the root; `follow`: the last one too.

        What is not there is kept as it is named, so that it can be made. UserError: a loop of links, or a path through
        something that is no folder.
        """
        waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done[:-1]
                continue
            place = self.place((*done, part))
            if "\0" in part:
                raise UserError("a path has a zero byte in it", on=path, next_step="name another path")
            try:
                mode = os.lstat(place).st_mode
            except NotADirectoryError:
                raise UserError(
                    f"/{'/'.join(done)} is no folder", on=path, next_step="look at what is there: rastos image ls"
                ) from None
            except OSError:
                done.append(part)
                continue
            if stat.S_ISLNK(mode) and (follow or waiting) and (*done, part) not in self._mounted():
                links += 1
                if links > MAXIMUM_LINKS:
                    raise UserError("too many links", on=path, next_step="name the file itself")
                target = os.readlink(place)
                if target.startswith("/"):
                    done = []
                waiting += [word for word in reversed(target.split("/")) if word not in ("", ".")]
                continue
            done.append(part)
        return tuple(done)

    def found(self, path: str, *, follow: bool = True) -> tuple[tuple[str, ...], Path, os.stat_result]:
        """The parts, the place and the status of a path that is there. UserError: it is not."""
        parts = self.resolve(path, follow=follow)
        place = self.place(parts)
        try:
            return parts, place, os.lstat(place)
        except OSError as error:
            raise UserError(
                f"the image has no {path}: {os.strerror(error.errno or 0)}",
                next_step="look at what is there: rastos image ls",
            ) from error

    def _mounted(self) -> set[tuple[str, ...]]:
        return {tuple(path.split("/")) for path in self.mounts}


def view_of(opened: OpenSnapshot) -> View:
    """The view that was asked for: the machine as it boots next, or one snapshot.

    IntegrityError: something that has to be a folder of the image is a link.
    """
    top = opened.store.top
    if _is_link(opened.tree):
        raise IntegrityError("a snapshot's tree is a link", on=opened.tree, next_step="don't use this image")
    if opened.deployment is None:
        return View(opened.tree)
    folder = opened.store.deployment_path(opened.deployment.number)
    mounts = {name: top / "state" / name for name in STATE}
    mounts["etc"] = folder / "etc"
    mounts |= _own_state(top, folder / "etc")
    return View(opened.tree, {name: place for name, place in mounts.items() if place.is_dir() and not _is_link(place)})


def _own_state(top: Path, etc: Path) -> dict[str, Path]:
    """What a deployment mounts besides: the list that rastos-init reads (docs/deployments.md)."""
    found = {}
    try:
        place = safe_join(etc, "rastos/state-mounts")
        text = "" if place.is_symlink() else place.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            subvolume, _, target = line.partition("\t")
            if subvolume and target.strip("/"):
                found[target.strip("/")] = safe_join(top, subvolume)
    except (OSError, IntegrityError):
        return found
    return found


def _is_link(place: Path) -> bool:
    """Whether a folder, or one above it that the image holds, is a link."""
    return place.is_symlink() or place.parent.is_symlink()
