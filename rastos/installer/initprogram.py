"""The init program that mounts a deployment's /etc and state before systemd: compiled once, delivered as a package."""

from __future__ import annotations

from pathlib import Path

from rastos.host import digest_of, run, working_directory
from rastos.package import LocalRepository, PackageMetadata, write_package

SOURCE = Path(__file__).with_name("init") / "rastos-init.c"
NAME = "rastos-init"
SERIES = 2  # raised with every change of the source, so that a later program has a larger version
FLAGS = ("-Os", "-static", "-Wall", "-Wl,--build-id=none", "-s")


def init_package(repository: LocalRepository, cache: Path) -> str:
    """Have the package in the repository; returns its name. The version carries the digest of the source.

    Raises ExternalError with the compiler's words.
    """
    source = SOURCE.read_bytes()
    compiler = run(["gcc", "--version"]).stdout.splitlines()[0]
    digest = digest_of(source, " ".join(FLAGS), compiler)
    version = f"{SERIES}.{int(digest[:8], 16)}-1"
    found = repository.find(NAME)
    if found is not None and found.version == version:
        return NAME
    with working_directory(cache, "init") as place:
        folder = place / "tree/usr/lib/rastos"
        folder.mkdir(parents=True)
        run(["gcc", *FLAGS, "-o", folder / "init", SOURCE], what="compile the init program")
        (folder / "init").chmod(0o755)
        metadata = PackageMetadata(
            name=NAME,
            version=version,
            description="First program of a deployment: mounts its /etc and state, then starts systemd",
            license=("GPL-3.0-or-later",),
        )
        repository.add(write_package(metadata, place / "tree", place))
    return NAME
