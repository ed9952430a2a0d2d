"""Image profiles by name: found, read with all they inherit, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

from .assembling import assemble
from .inheriting import inherit
from .keys import near
from .reading import Given, Problems, read_document
from .values import ImageProfile

# names that profiles had before
FORMER = {"container": "container-host"}


@dataclass(frozen=True, slots=True)
class ProfileReading:
    """A profile as it was read: all that is wrong with its files. With faults, `profile` is not to be built."""

    profile: ImageProfile
    faults: tuple[UserError, ...]


def image_profiles(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of all image profiles."""
    return tuple(sorted({path.stem for folder in folders for path in (folder / "image").glob("*.toml")}))


def load_image_profile(name: str, folders: Sequence[Path]) -> ImageProfile:
    """A profile by name (or a path ending in .toml), with what it inherits.

    Raises UserError for the first fault, with file:line and near names; further faults are in its detail.
    """
    reading = read_image_profile(name, folders)
    if reading.faults:
        first, *others = reading.faults
        detail = "\n".join(f"also {error.on}: {error.what}" for error in others)
        raise UserError(first.what, on=first.on, next_step=first.next_step, detail=detail)
    return reading.profile


def read_image_profile(name: str, folders: Sequence[Path], *, text: str | None = None) -> ProfileReading:
    """As `load_image_profile`, with every fault; `text`: what the file is going to hold. Raises UserError where there is no such profile or a file is no TOML."""
    path = Path(name) if name.endswith(".toml") else _named(name, folders)
    problems = Problems()
    chain = [read_document(path, problems, text)]
    while (parent := chain[-1].values.get("inherits")) is not None:
        below = _parent(str(parent), chain, folders)
        chain.append(read_document(below, problems))
    given: Given | None = None
    for document in reversed(chain):
        given = inherit(document, given, problems)
    assert given is not None
    ancestors = tuple(document.path.stem for document in chain[1:])
    profile = assemble(given, path.stem, path, ancestors, problems)
    return ProfileReading(profile, tuple(problems.found))


def _named(name: str, folders: Sequence[Path]) -> Path:
    for wanted in (name, FORMER.get(name, name)):
        for folder in folders:
            if (path := folder / "image" / f"{wanted}.toml").is_file() and "/" not in wanted:
                return path
    raise UserError(
        f"there is no image profile '{name}'", next_step=near(name, image_profiles(folders), "known profiles")
    )


def _parent(name: str, chain: Sequence[Given], folders: Sequence[Path]) -> Path:
    """The file of an inherited profile; a project's own may inherit the shipped one of its name. UserError."""
    where = chain[-1].origins["inherits"]
    beside = [] if "/" in name else [chain[-1].path.parent / f"{name}.toml"]
    named = [folder / "image" / f"{word}.toml" for word in (name, FORMER.get(name, name)) for folder in folders]
    files = [path for path in (*beside, *(named if "/" not in name else [])) if path.is_file()]
    known = {document.path.resolve() for document in chain}
    for path in files:
        if path.resolve() not in known:
            return path
    if files:
        circle = " → ".join([*(document.path.stem for document in chain), name])
        raise UserError(f"profiles inherit in a circle: {circle}", on=where, next_step="take out one `inherits`")
    names = image_profiles(folders)
    raise UserError(f"there is no image profile '{name}'", on=where, next_step=near(name, names, "known profiles"))
