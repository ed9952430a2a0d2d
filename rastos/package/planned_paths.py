"""What packages of a plan would bring, as far as their files are here already: looked up before anything is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError

from .inspection import Candidate, remembered
from .plan import Plan
from .policy import TransactionPolicy

_RATIO = TransactionPolicy().max_unpacked


@dataclass(frozen=True, slots=True)
class PackagePaths:
    """`paths`: files and folders (those end with a slash) below the root; `unknown`: packages whose files are not here yet."""

    paths: frozenset[str]
    unknown: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every package was looked into, so that what is not in `paths` is not brought by any."""
        return not self.unknown

    def below(self, folder: str) -> frozenset[str]:
        """Files below a folder, relative to it."""
        start = f"{folder.rstrip('/')}/"
        return frozenset(path[len(start) :] for path in self.paths if path.startswith(start) and not path.endswith("/"))


def package_paths(plan: Plan, folders: tuple[Path, ...], cache: Path) -> PackagePaths:
    """The lists of a plan's packages, found in `folders` (the local repository, the package cache).

    Scripts may make more than the lists say: groups, links, units. A damaged file counts as one that isn't here: it is
    fetched again and refused where it must be, before anything is installed.
    """
    found: set[str] = set()
    unknown = []
    for record in plan.records:
        place = next((path for folder in folders if (path := folder / record.filename).is_file()), None)
        try:
            if place is None:
                raise FileNotFoundError(record.filename)
            found |= set(remembered(Candidate(place, record), cache / "inspected", _RATIO).paths)
        except (OSError, IntegrityError):
            unknown.append(record.name)
    return PackagePaths(frozenset(found), tuple(sorted(unknown)))
