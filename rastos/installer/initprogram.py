"""What starts a deployment and tells whether it came up: compiled once, delivered as a package.

`init` mounts the deployment's /etc and state before systemd; `initramfs` goes into the initramfs of modular kernels and mounts
the root; `grow` gives the root the space of a disk that has grown; `health` and its units record each boot, check it, and
decide whether the boot loader's counter may be cleared.
"""

from __future__ import annotations

import os
from pathlib import Path

from rastos.errors import HostError
from rastos.host import copy_file, digest_of, find_program, run, working_directory
from rastos.package import LocalRepository, PackageMetadata, read_local, write_package

FOLDER = Path(__file__).with_name("init")
SOURCES = {name: FOLDER / f"rastos-{name}.c" for name in ("init", "initramfs", "grow")}
PARTS = (FOLDER / "rastos-initramfs-unlock.h",)  # included by one of them
UNITS = "usr/lib/systemd/system"
# where a file lies in the system, and its mode
FILES = {
    "usr/lib/rastos/health": (FOLDER / "health.sh", 0o755),
    "usr/lib/rastos/live-shell": (FOLDER / "live-shell.sh", 0o755),
    "usr/lib/rastos/swap": (FOLDER / "swap.sh", 0o755),
    "usr/lib/systemd/system.conf.d/50-rastos-watchdog.conf": (FOLDER / "watchdog.conf", 0o644),
    **{f"{UNITS}/{path.name}": (path, 0o644) for path in sorted((FOLDER / "units").iterdir())},
}
# started without being enabled: what a deployment is worth must not hang on its /etc
WANTED = {
    "sysinit.target.wants": "rastos-boot-record.service",
    "swap.target.wants": "rastos-swap.service",
    "local-fs.target.wants": "rastos-grow.service",
    "multi-user.target.wants": "rastos-health.service",
    "boot-complete.target.requires": "rastos-health.service",
    "timers.target.wants": "rastos-boot-deadline.timer",
}
NAME = "rastos-init"
DATABASE = Path("/usr/lib/sysimage/pacman")
HERE = Path("/usr/lib/rastos")  # the programs of a system that rastos made
SERIES = 10  # raised with every change of the source, so that a later program has a larger version
FLAGS = ("-Os", "-static", "-Wall", "-Wl,--build-id=none", "-s")


def init_package(repository: LocalRepository, cache: Path) -> str:
    """Have the package in the repository; returns its name. The version carries the digest of the source.

    Raises ExternalError with the compiler's words.
    """
    if find_program("gcc") is None and (HERE / "init").is_file():
        return _as_here(repository, cache)
    compiler = run(["gcc", "--version"]).stdout.splitlines()[0]
    texts = [source.read_bytes() for source in (*SOURCES.values(), *PARTS)]
    texts += [part for name, (source, _) in FILES.items() for part in (name.encode(), source.read_bytes())]
    digest = digest_of(*texts, repr(WANTED), " ".join(FLAGS), compiler)
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
        _place_files(place / "tree")
        repository.add(write_package(_described(version), place / "tree", place))
    return NAME


def _described(version: str) -> PackageMetadata:
    return PackageMetadata(
        name=NAME,
        version=version,
        description="First programs of a deployment: mount its root, /etc and state, start systemd, check the boot",
        license=("GPL-3.0-or-later",),
    )


def _as_here(repository: LocalRepository, cache: Path) -> str:
    """The package again from what is installed here: a live medium has no compiler."""
    record = read_local(DATABASE).get(NAME)
    if record is None:
        raise HostError(f"no compiler, and {NAME} is not installed here either", next_step="install gcc")
    found = repository.find(NAME)
    if found is None or found.version != record.version:
        with working_directory(cache, "init") as place:
            folder = place / "tree/usr/lib/rastos"
            folder.mkdir(parents=True)
            for program in SOURCES:
                copy_file(HERE / program, folder / program)
                (folder / program).chmod(0o755)
            _place_files(place / "tree")
            repository.add(write_package(_described(record.version), place / "tree", place))
    return NAME


def _place_files(tree: Path) -> None:
    for name, (source, mode) in FILES.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, target)
        target.chmod(mode)
    for target_name, unit in WANTED.items():
        link = tree / UNITS / target_name / unit
        link.parent.mkdir(parents=True)
        link.symlink_to(f"../{unit}")
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o755)
