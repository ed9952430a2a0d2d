"""Building a module outside the kernel's tree, as dkms does, into a package that goes with one version of one kernel."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import ExternalError, UserError
from rastos.host import run, working_directory
from rastos.kernel.config_file import read_config
from rastos.kernel.external.headers import open_headers
from rastos.kernel.external.sign import check_module, sign_modules
from rastos.kernel.external.source import ModuleSource
from rastos.kernel.makelog import MakeLog
from rastos.kernel.packaging.layout import settle
from rastos.kernel.plan import ARCH
from rastos.kernel.store import BuiltKernel
from rastos.package import LocalRepository, PackageMetadata, write_package
from rastos.progress import Progress

FOLDER = "updates"  # modprobe takes what is there before the kernel's own (depmod.d(5))
RELEASE = "1"


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """One build: which source for which kernel; `key` signs (None: not signed)."""

    source: ModuleSource
    kernel: BuiltKernel
    key: Path | None
    jobs: int
    cache: Path
    repository: LocalRepository

    @property
    def package(self) -> str:
        """Name of the package."""
        return f"{self.source.name}-{self.kernel.profile}"

    @property
    def version(self) -> str:
        """Its version: the module's, and the release of the packaging."""
        return f"{self.source.version}-{RELEASE}"

    def to_json(self) -> dict[str, Any]:
        """For --dry-run --json."""
        return {
            "package": self.package,
            "version": self.version,
            "source": str(self.source.folder),
            "modules": list(self.source.modules),
            "ignored": list(self.source.ignored),
            "kernel": self.kernel.name,
            "kernel_version": self.kernel.version,
            "release": self.kernel.release,
            "key": None if self.key is None else str(self.key),
            "jobs": self.jobs,
        }


@dataclass(frozen=True, slots=True)
class BuiltModule:
    """The package in the local repository; `modules` as paths in the tree, `size` of the package in bytes."""

    name: str
    version: str
    release: str
    package: Path
    modules: tuple[str, ...]
    signed: bool
    size: int
    warnings: int


def plan_module(
    source: ModuleSource,
    kernel: BuiltKernel,
    *,
    key: Path | None,
    jobs: int,
    cache: Path,
    repository: LocalRepository,
) -> ModulePlan:
    """Decide a build. UserError: no headers, no modules in this kernel, or no key where the kernel takes only signed ones."""
    if kernel.further("headers") is None:
        open_headers(kernel, cache)  # says what to do
    config = read_config(kernel.config)
    if config.get("MODULES") != "y":
        raise UserError(
            "this kernel can load no modules: CONFIG_MODULES is not set",
            on=kernel.name,
            next_step="choose a modular kernel, such as the profile production",
        )
    return ModulePlan(
        source, kernel, key if config.get("MODULE_SIG") == "y" else None, jobs, cache.absolute(), repository
    )


def build_module(plan: ModulePlan, progress: Progress) -> BuiltModule:
    """Carry a plan out in a copy of the source. UserError: it doesn't compile, or makes no module for this kernel."""
    headers = open_headers(plan.kernel, plan.cache)
    with working_directory(plan.cache / "work", "module-") as work:
        copy = work / "source"
        shutil.copytree(plan.source.folder, copy, symlinks=True, ignore=_not_source)
        log = MakeLog()
        with progress.step(f"Compile {plan.source.name} for {plan.kernel.release}") as step:
            for line in plan.source.ignored:
                step.note(f"dkms.conf: not done: {line}")
            _make(plan, headers, copy, log)
            found = _made(plan, copy)
            step.outcome = f"{', '.join(path.name for path in found)}; {log.warnings} warnings"
        with progress.step("Package") as step:
            stage = work / "tree"
            place = stage / "usr/lib/modules" / plan.kernel.release / FOLDER
            place.mkdir(parents=True)
            targets = [place / path.name for path in found]
            for path, target in zip(found, targets, strict=True):
                shutil.copyfile(path, target)
                run(["strip", "--strip-debug", target], what=f"strip {path.name}")
            if plan.key is not None:
                sign_modules(headers, plan.key, targets)
            epoch = _epoch(plan.source.folder)
            settle(stage, epoch)
            written = write_package(_metadata(plan, epoch), stage, work, epoch=epoch)
            plan.repository.add(written)
            how = "signed" if plan.key is not None else "not signed"
            step.outcome = f"{written.name}, {how}"
            return BuiltModule(
                name=plan.package,
                version=plan.version,
                release=plan.kernel.release,
                package=plan.repository.directory / written.name,
                modules=tuple(str(target.relative_to(stage)) for target in targets),
                signed=plan.key is not None,
                size=written.stat().st_size,
                warnings=log.warnings,
            )


def _make(plan: ModulePlan, headers: Path, copy: Path, log: MakeLog) -> None:
    stamp = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(_epoch(plan.source.folder)))
    # no path of this machine in what is built: the same source gives the same bytes
    prefix = f"-ffile-prefix-map={copy}=. -ffile-prefix-map={headers}=/usr/lib/modules/{plan.kernel.release}/build"
    argv = ["make", "-C", str(headers), f"M={copy}", f"ARCH={ARCH}", f"-j{plan.jobs}", f"KCFLAGS={prefix}"]
    if read_config(headers / ".config").get("CC_IS_CLANG") == "y":
        argv.append("LLVM=1")

    def read(line: str) -> None:
        log.line(line)

    try:
        run(
            [*argv, "modules"],
            env={"KBUILD_BUILD_TIMESTAMP": stamp},
            on_line=read,
            what=f"compile {plan.source.name}",
            guarded=True,
        )
    except ExternalError as error:
        words = log.first_error(copy)
        if not words:
            raise
        raise UserError(
            f"the module doesn't compile: {words}",
            on=plan.source.folder,
            next_step=f"correct it for the kernel {plan.kernel.release}; the whole output is below",
            detail=error.tail,
        ) from error


def _made(plan: ModulePlan, copy: Path) -> list[Path]:
    found = {path.stem: path for path in sorted(copy.rglob("*.ko"))}
    missing = [name for name in plan.source.modules if name not in found]
    if missing or not found:
        wanted = f"no {missing[0]}.ko, which dkms.conf names" if missing else "no module"
        raise UserError(
            f"make ended well but made {wanted}",
            on=plan.source.folder,
            next_step="name it in Kbuild or Makefile: obj-m := NAME.o",
        )
    chosen = [found[name] for name in plan.source.modules or sorted(found)]
    for path in chosen:
        check_module(path, plan.kernel.release)
    return chosen


def _metadata(plan: ModulePlan, epoch: int) -> PackageMetadata:
    return PackageMetadata(
        name=plan.package,
        version=plan.version,
        description=f"Modules {plan.source.name} {plan.source.version} for the kernel {plan.kernel.release}",
        arch="x86_64",
        # a kernel of another version would not load them: the change of the kernel is refused until they are built for it
        depends=(f"{plan.kernel.name}={plan.kernel.version}", "kmod"),
        provides=(f"{plan.source.name}={plan.source.version}",) if plan.source.name != plan.package else (),
        builddate=epoch,
    )


def _not_source(folder: str, names: list[str]) -> set[str]:
    """What an earlier build in that folder left, and version control."""
    left = (".o", ".ko", ".cmd", ".mod", ".mod.c", ".symvers", ".order")
    return {name for name in names if name == ".git" or name.endswith(left)}


def _epoch(folder: Path) -> int:
    """The newest time of change in the source (seconds since 1970)."""
    newest = 0
    for place, _, files in os.walk(folder):
        chosen = set(files) - _not_source(place, files)
        newest = max([newest, *(int(os.lstat(os.path.join(place, name)).st_mtime) for name in chosen)])
    return newest
