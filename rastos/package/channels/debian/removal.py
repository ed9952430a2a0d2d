"""Scripts of packages that go: libalpm takes `postrm` away with the rest, so it is kept aside until it has run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import system_mounts, write_atomic
from rastos.progress import Progress, Step

from .scripts import no_services, run_script
from .status import Installed

# in dpkg's own folder, so that it goes with the tree; a run that was killed finds it again
_KEPT = "var/lib/dpkg/rastos-removed"


def keep_scripts(root: Path, packages: Mapping[str, Installed], names: Sequence[str]) -> None:
    """Keep the `postrm` of these packages."""
    for name in names:
        package = packages.get(name)
        script = package.file(root, "postrm") if package else None
        if package is None or script is None or not script.is_file() or script.is_symlink():
            continue
        folder = root / _KEPT
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(folder / f"{name}.postrm", script.read_bytes(), mode=0o755)
        write_atomic(folder / f"{name}.json", json.dumps({"fields": package.fields, "stem": package.stem}))


def run_removed(root: Path, packages: Mapping[str, Installed], progress: Progress, *, epoch: int) -> None:
    """Run `postrm remove` of what is gone; one that fails is a warning, its package is gone already.

    What is installed again, or still (the change was given up), is left alone; so is a tree without a shell.
    """
    folder = root / _KEPT
    kept = sorted(folder.glob("*.json")) if folder.is_dir() and not folder.is_symlink() else []
    gone = [path for path in kept if path.stem not in packages and (root / "usr/bin/sh").exists()]
    if gone:
        with progress.step("running removal scripts") as step, system_mounts(root), no_services(root):
            for path in gone:
                _run(root, path, epoch, step)
            step.outcome = f"{len(gone)} packages"
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _run(root: Path, path: Path, epoch: int, step: Step) -> None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        package = Installed(dict(values["fields"]), str(values["stem"]))
        program = f"/{_KEPT}/{package.name}.postrm"
    except (ValueError, KeyError, TypeError, OSError):
        return  # torn: its package was not removed yet when that was written
    try:
        run_script(root, package, "postrm", ("remove",), epoch, step, program=program)
    except ExternalError as error:
        step.note(f"{error.what}: {error.tail.strip().splitlines()[-1:] or ''}", "warning")
