"""A finished build tree as a pacman package in Arch's layout: /usr/lib/modules/<release>/{vmlinuz,pkgbase,config,…}."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError
from rastos.host import run, working_directory
from rastos.kernel.kconfig import read_config
from rastos.kernel.plan import BuildPlan
from rastos.package import PackageMetadata, write_package

# from the build tree; absent ones stay absent (no modules.order without CONFIG_MODULES)
INDEXES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


@dataclass(frozen=True, slots=True)
class MadePackage:
    """The package in the local repository and the size of the kernel image in it (bytes)."""

    path: Path
    image_size: int


def package_kernel(
    plan: BuildPlan, release: str, version: str, env: Mapping[str, str], *, debug: bool = False
) -> MadePackage:
    """Stage the tree, index its modules, write the package, add it to the local repository."""
    with working_directory(plan.cache / "work", "package-") as work:
        stage = work / "tree"
        modules = stage / "usr/lib/modules" / release
        modules.mkdir(parents=True)
        image = _stage(plan, stage, modules, env)
        _index(stage, modules, plan.tree, release)
        _settle(stage, plan.source.epoch)
        metadata = PackageMetadata(
            name=plan.profile.package,
            version=version,
            description=f"The Linux kernel {plan.source.version}, rastOS profile {plan.profile.name}",
            arch="x86_64",
            url="https://www.kernel.org/",
            license=("GPL-2.0-only",),
            provides=("linux",),
            builddate=plan.source.epoch,
        )
        written = write_package(metadata, stage, work, epoch=plan.source.epoch)
        plan.repository.add(written)
        if debug:
            kept = plan.tree / "package-tree"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(stage, kept, symlinks=True)
        return MadePackage(plan.repository.directory / written.name, image.stat().st_size)


def _stage(plan: BuildPlan, stage: Path, modules: Path, env: Mapping[str, str]) -> Path:
    built = plan.tree / "arch/x86/boot/bzImage"
    if not built.is_file():
        raise HostError("make ended well but left no kernel image", on=built, next_step=f"see the log {plan.log}")
    image = modules / "vmlinuz"
    shutil.copyfile(built, image)
    (modules / "pkgbase").write_text(f"{plan.profile.package}\n", encoding="utf-8")
    shutil.copyfile(plan.tree / ".config", modules / "config")
    for name in INDEXES:
        if (plan.tree / name).is_file():
            shutil.copyfile(plan.tree / name, modules / name)
    if read_config(plan.tree / ".config").get("MODULES") == "y":
        run(
            [
                *plan.make(
                    f"INSTALL_MOD_PATH={stage / 'usr'}", "INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install"
                ),
            ],
            env=env,
            log=plan.log,
            what="install the kernel's modules into the package",
        )
    for name in ("build", "source"):  # links into the build machine
        (modules / name).unlink(missing_ok=True)
    return image


def _index(stage: Path, modules: Path, tree: Path, release: str) -> None:
    """modules.dep and its kin, also where there is nothing to list: modprobe complains about their absence."""
    (modules / "modules.order").touch()
    # depmod looks for lib/modules or usr/lib/modules below its base, depending on how it was built
    link = stage / "lib"
    link.symlink_to("usr/lib")
    symbols = ["-F", str(tree / "System.map")] if (tree / "System.map").is_file() else []
    run(["depmod", "-b", stage, *symbols, release], what="index the kernel's modules")
    link.unlink()


def _settle(stage: Path, epoch: int) -> None:
    """Modes and times that don't depend on who built when."""
    for folder, folders, files in os.walk(stage):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
