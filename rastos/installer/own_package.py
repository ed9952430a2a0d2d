"""rastos itself as a package, so that a machine made by it is managed by it from inside.

Everything lies below usr/lib/rastos/python: rastos, and the libraries it runs with here, file by file as their records name
them, and their bytecode, which nothing could write there later. A distribution's Python finds none of it unless the launcher
says so.
"""

from __future__ import annotations

import os
import py_compile
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import rastos
from rastos.errors import HostError
from rastos.host import copy_file, digest_of, find_program, run, sha256_file, working_directory
from rastos.package import LocalRepository, PackageMetadata, write_package

NAME = "rastos"
SERIES = 1  # raised when the package is made differently
LIBRARIES = ("click", "rich", "pyalpm", "btrfsutil", "tomlkit", "zstandard", "merge3", "kconfiglib", "qemu.qmp")
HOME = "usr/lib/rastos/python"
# what rastos needs of the system, by kind of channel: an interpreter, the C libraries of its extensions, and what they call
DEPENDS = {
    "debian": ("python3", "libalpm13", "libbtrfsutil1", "btrfs-progs", "gpgv", "debian-archive-keyring", "zstd"),
    "pacman": ("python", "pacman", "btrfs-progs", "gnupg", "zstd"),
}
LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

if sys.version_info[:2] != ({major}, {minor}):
    sys.exit("rastos was built for Python {major}.{minor}, this is %d.%d: build its package again" % sys.version_info[:2])
sys.path.insert(0, "/{home}")
from rastos.__main__ import main

sys.exit(main())
"""


def own_package(repository: LocalRepository, cache: Path, *, kind: str) -> str:
    """Have rastos in the repository as a package for systems of a channel kind; returns its name.

    Its version counts up whenever a file in it differs from the package before, and ends with the digest of them all. Raises HostError where a library has no record of its files.
    """
    files = dict(sorted(_files()))
    launcher = LAUNCHER.format(major=sys.version_info[0], minor=sys.version_info[1], home=HOME)
    depends = DEPENDS.get(kind, ())
    parts = [f"{name} {sha256_file(path)}" for name, path in files.items()]
    digest = digest_of(str(SERIES), launcher, *depends, *parts)
    found = repository.find(NAME)
    last, known = _serial(found.version) if found is not None else (0, "")
    if known == digest[:8]:
        return NAME
    version = f"{rastos.__version__}.{last + 1}.{digest[:8]}-{SERIES}"
    with working_directory(cache, "rastos") as place:
        tree = place / "tree"
        for name, path in files.items():
            target = tree / HOME / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(path, target)
            target.chmod(0o644)
            _prepare(target, f"/{HOME}/{name}")
        program = tree / "usr/bin/rastos"
        program.parent.mkdir(parents=True)
        program.write_text(launcher)
        program.chmod(0o755)
        described = PackageMetadata(
            name=NAME,
            version=version,
            description="Manages this system: snapshots, packages, deployments",
            license=("GPL-3.0-or-later",),
            depends=depends,
        )
        for folder, _, _ in os.walk(tree):
            os.chmod(folder, 0o755)
        repository.add(write_package(described, tree, place))
    return NAME


def _serial(version: str) -> tuple[int, str]:
    """The count and the digest in a version made here; (0, "") for another."""
    found = re.search(r"\.(\d+)\.([0-9a-f]{8})-\d+$", version)
    return (int(found[1]), found[2]) if found else (0, "")


def _prepare(file: Path, shown: str) -> None:
    """Bytecode beside a module, valid whatever the times say; extensions without debug information."""
    if file.suffix == ".py":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(file), dfile=shown, doraise=False, quiet=1, invalidation_mode=mode)
    elif file.suffix == ".so" and find_program("strip"):
        run(["strip", "--strip-unneeded", file], what="strip an extension")


def _files() -> Iterator[tuple[str, Path]]:
    """Path below HOME → file here: rastos, and every library that it needs, with what those need."""
    package = Path(rastos.__file__).parent
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"rastos/{path.relative_to(package)}", path
    profiles = package.parent / "profiles"
    if profiles.is_dir() and not (package / "profiles").is_dir():
        for path in profiles.rglob("*"):
            if path.is_file():
                yield f"rastos/profiles/{path.relative_to(profiles)}", path
    for name in sorted(_closure(LIBRARIES)):
        yield from _library(name)


def _closure(names: tuple[str, ...]) -> set[str]:
    """The libraries with those they require, without extras."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            if name in {item.lower() for item in names}:
                raise HostError(
                    f"{name} is not installed with a record of its files",
                    next_step="install rastos with pip: the record is what tells which files to take along",
                ) from None
            continue  # for another Python or another system
        found.add(name)
        pending += [_name(line) for line in required if ";" not in line]
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]


def _library(name: str) -> Iterator[tuple[str, Path]]:
    for item in metadata.files(name) or ():
        place = Path(str(item.locate()))
        relative = str(item)
        if ".." in item.parts or "__pycache__" in item.parts or relative.startswith("/") or not place.is_file():
            continue  # programs, and what the interpreter writes
        if item.suffix in (".pyi", ".c", ".h") or "tests" in item.parts:
            continue
        if "cffi" in item.name:
            continue  # for interpreters other than CPython
        yield relative, place
