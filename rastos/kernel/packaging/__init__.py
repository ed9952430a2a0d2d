"""A finished build tree as pacman packages: the kernel, and beside it headers and symbols where they are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.host import sha256_file, working_directory
from rastos.kernel.packaging import debug, headers, image
from rastos.kernel.packaging.layout import Layout, settle
from rastos.kernel.plan import BuildPlan
from rastos.kernel.store import FurtherPackage
from rastos.package import write_package

# kind: the module that stages its files (`stage`) and describes it (`metadata`, `install`)
FURTHER = {"headers": headers, "debug": debug}


@dataclass(frozen=True, slots=True)
class MadePackages:
    """The kernel's package in the local repository, the size of the kernel image in it (bytes), and what lies beside it."""

    path: Path
    image_size: int
    others: tuple[FurtherPackage, ...] = ()


def package_kernel(
    plan: BuildPlan, release: str, version: str, env: Mapping[str, str], *, debug: bool = False
) -> MadePackages:
    """Stage and write the kernel's package and those that `plan.packages` names; all are whole before one is added."""
    with working_directory(plan.cache / "work", "package-") as work:
        layout = Layout(plan, release, version, work / "kernel", dict(env))
        built = image.stage(layout)
        size = built.stat().st_size
        settle(layout.root, plan.source.epoch)
        epoch = plan.source.epoch
        written = {
            "kernel": write_package(
                image.metadata(layout), layout.root, work, install=image.install(layout), epoch=epoch
            )
        }
        if debug:
            kept = plan.tree / "package-tree"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(layout.root, kept, symlinks=True)
        for kind in plan.packages:
            further = Layout(plan, release, version, work / kind, dict(env))
            FURTHER[kind].stage(further)
            settle(further.root, epoch)
            written[kind] = write_package(FURTHER[kind].metadata(further), further.root, work, epoch=epoch)
            shutil.rmtree(further.root)
        for path in written.values():
            plan.repository.add(path)
        others = tuple(_further(plan, kind, path) for kind, path in written.items() if kind != "kernel")
        return MadePackages(plan.repository.directory / written["kernel"].name, size, others)


def _further(plan: BuildPlan, kind: str, written: Path) -> FurtherPackage:
    return FurtherPackage(
        kind=kind,
        name=f"{plan.profile.package}-{kind}",
        path=plan.repository.directory / written.name,
        sha256=sha256_file(written),
        size=written.stat().st_size,
    )


__all__ = ["FURTHER", "MadePackages", "package_kernel"]
