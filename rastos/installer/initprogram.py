"""The programs that start a deployment before systemd: compiled once, delivered as a package.

`init` mounts the deployment's /etc and state; `initramfs` goes into the initramfs of modular kernels and mounts the root.
"""

from __future__ import annotations

from pathlib import Path

from rastos.host import digest_of, run, working_directory
from rastos.package import LocalRepository, PackageMetadata, write_package

SOURCES = {name: Path(__file__).with_name("init") / f"rastos-{name}.c" for name in ("init", "initramfs")}
NAME = "rastos-init"
SERIES = 4  # raised with every change of the source, so that a later program has a larger version
FLAGS = ("-Os", "-static", "-Wall", "-Wl,--build-id=none", "-s")


def init_package(repository: LocalRepository, cache: Path) -> str:
    """Have the package in the repository; returns its name. The version carries the digest of the source.

    Raises ExternalError with the compiler's words.
    """
    compiler = run(["gcc", "--version"]).stdout.splitlines()[0]
    digest = digest_of(*(source.read_bytes() for source in SOURCES.values()), " ".join(FLAGS), compiler)
    version = f"{SERIES}.{int(digest[:8], 16)}-1"
    found = repository.find(NAME)
    if found is not None and found.version == version:
        return NAME
    with working_directory(cache, "init") as place:
        folder = place / "tree/usr/lib/rastos"
        folder.mkdir(parents=True)
        for program, source in SOURCES.items():
            run(["gcc", *FLAGS, "-o", folder / program, source], what=f"compile {source.name}")
            (folder / program).chmod(0o755)
        metadata = PackageMetadata(
            name=NAME,
            version=version,
            description="First programs of a deployment: mount its root, /etc and state, then start systemd",
            license=("GPL-3.0-or-later",),
        )
        repository.add(write_package(metadata, place / "tree", place))
    return NAME
