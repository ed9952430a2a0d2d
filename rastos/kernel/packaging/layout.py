"""Where things lie in the packages of one build, and how a staged tree is made independent of who staged it when."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from rastos.host import run
from rastos.kernel.config_file import read_config
from rastos.kernel.plan import BuildPlan

LICENSE = ("GPL-2.0-only",)
URL = "https://www.kernel.org/"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one package below `root`, made from the build of `plan`; `env` is what make sees."""

    plan: BuildPlan
    release: str
    version: str
    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def modules(self) -> Path:
        """usr/lib/modules/<release> of this package."""
        return self.root / "usr/lib/modules" / self.release

    @property
    def built(self) -> Path:
        """The build tree."""
        return self.plan.tree

    @property
    def source(self) -> Path:
        """The source tree."""
        return self.plan.source.tree

    @property
    def config(self) -> dict[str, str]:
        """The final configuration."""
        return read_config(self.built / ".config")

    def copy(self, source: Path, target: Path) -> None:
        """One file with its mode, or a symbolic link as it is; folders are made."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(os.readlink(source))
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)


def index_modules(root: Path, release: str, symbols: Path | None = None) -> None:
    """modules.dep and its kin (depmod(8)), also where there is nothing to list: modprobe complains about their absence.

    `symbols`: the kernel's System.map, where it is at hand.
    """
    (root / "usr/lib/modules" / release / "modules.order").touch()
    # depmod looks for lib/modules or usr/lib/modules below its base, depending on how it was built
    link = root / "lib"
    link.symlink_to("usr/lib")
    known = ["-F", str(symbols)] if symbols is not None and symbols.is_file() else []
    run(["depmod", "-b", root, *known, release], what="index the kernel's modules")
    link.unlink()


def settle(root: Path, epoch: int) -> None:
    """Modes and times that don't depend on who built when; what its owner may run, everybody may."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                runs = os.path.isdir(path) or os.stat(path).st_mode & 0o100
                os.chmod(path, 0o755 if runs else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
