"""The distribution's kernel, taken instead of building one: its package laid out anew as those built here are.

Debian keeps the kernel in /boot and lets scripts index modules, make an initramfs and update boot loaders. Here the package holds
all of it: vmlinuz beside its modules, their indexes; no scripts, no initramfs-tools. rastos makes the initramfs at deploy.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import digest_of, run, sha256_file, working_directory, write_atomic
from rastos.kernel.initramfs import FACTS
from rastos.kernel.packaging.layout import LICENSE, index_modules, settle
from rastos.kernel.store import BuiltKernel, record, recorded
from rastos.package import (
    Channel,
    LocalRepository,
    PackageMetadata,
    PackageRecord,
    Wanted,
    load_indexes,
    write_package,
)
from rastos.progress import Progress

DISTRO = "distro"
# Debian: the kernel for virtual machines, the one for everything; Arch
KNOWN = ("linux-image-cloud-amd64", "linux-image-amd64", "linux")
FORMAT = 1  # raised whenever the same package would be laid out differently; the release of the package
_RELEASE = re.compile(r"\d+\.\d+[\w.+~-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class DistributionPlan:
    """Which package of which channel becomes the kernel; `title` as the distribution writes it, `size` of its file in bytes.

    `existing` is what was taken before, where that is still the newest.
    """

    profile: str
    record: PackageRecord
    title: str
    channel: str
    version: str
    key: str
    existing: BuiltKernel | None

    @property
    def package(self) -> str:
        """The name of the package that comes out."""
        return f"linux-rastos-{self.profile}"

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "package": self.package,
            "version": self.version,
            "from": self.title,
            "channel": self.channel,
            "size": self.record.download_size,
            "present": self.existing is not None,
        }


def distro_request(kernel: str) -> str | None:
    """Whether a kernel's name means the distribution's: "distro" → "", "distro:PACKAGE" → PACKAGE, others → None.

    UserError for what can't be a package's name.
    """
    word, _, package = kernel.partition(":")
    if word != DISTRO:
        return None
    if (package or ":" in kernel) and not _NAME.fullmatch(package):
        raise UserError(
            f"'{package}' can't be the name of a kernel's package", next_step="write it so: distro:linux-image-amd64"
        )
    return package


def distro_profile(package: str) -> str:
    """What stands for a profile's name where the distribution's kernel is listed: "distro", or with what tells it from others."""
    return f"{DISTRO}-{package.removeprefix('linux-image-')}" if package else DISTRO


def plan_distribution(
    channels: Sequence[Channel], repository: LocalRepository, cache: Path, progress: Progress, *, package: str = ""
) -> DistributionPlan:
    """The kernel that the channels offer: `package`, else the first there is of `KNOWN`. UserError: they offer none."""
    names = (package,) if package else KNOWN
    for channel, index in zip(channels, load_indexes(channels, progress), strict=True):
        for name in names:
            if name not in index:
                continue
            found = index.record(name)
            # linux-image-amd64 only names the package of the day
            real = [item for item in found.depends if re.match(r"linux-image-\d", item)]
            if real:
                found = index.record(re.split(r"[<>=]", real[0])[0])
            shown = channel.display_version(found.version)
            profile = distro_profile(package)
            key = digest_of("distribution", str(FORMAT), profile, channel.name, found.name, found.version, found.sha256)
            return DistributionPlan(
                profile=profile,
                record=found,
                title=f"{found.name} {shown}",
                channel=channel.name,
                version=f"{re.sub(r'[^A-Za-z0-9.]', '_', shown)}-{FORMAT}",
                key=key,
                existing=recorded(cache, repository, key),
            )
    raise UserError(
        f"no channel has {' or '.join(names)}",
        next_step="name the kernel's package: rastos kernel distro --package NAME; or build one: rastos kernel build",
    )


def distro_kernel(
    plan: DistributionPlan, channels: Sequence[Channel], repository: LocalRepository, cache: Path, progress: Progress
) -> BuiltKernel:
    """Fetch, verify, lay out, add to the repository; from then on it is listed with the kernels built here.

    IntegrityError: the file is not what the archive signed, or holds no kernel.
    """
    if plan.existing is not None:
        return plan.existing
    started = time.monotonic()
    given = plan.record
    channel = next(item for item in channels if item.name == plan.channel)
    with working_directory(cache / "work", "distribution-") as work:
        wanted = Wanted(given.name, given.version, given.filename, given.sha256, given.download_size)
        channel.fetch([wanted], work / "files", progress)
        with progress.step(f"Lay out {plan.title}") as step:
            (work / "given").mkdir()
            into = ("-C", work / "given", "--no-same-owner")
            run(["bsdtar", "-x", "-f", work / "files" / given.filename, *into], what=f"unpack {given.name}")
            stage = work / "tree"
            release = _stage(work / "given", stage, plan)
            modules = stage / "usr/lib/modules" / release
            # when its distribution made it: the same package, the same bytes
            epoch = given.builddate or int((modules / "vmlinuz").stat().st_mtime)
            settle(stage, epoch)
            written = write_package(_metadata(plan, epoch), stage, work, epoch=epoch)
            repository.add(written)
            kernel = BuiltKernel(
                name=plan.package,
                profile=plan.profile,
                release=release,
                version=plan.version,
                source=plan.title,
                package=repository.directory / written.name,
                sha256=sha256_file(written),
                key=plan.key,
                config=_keep_config(modules, cache, plan.key),
                seconds=round(time.monotonic() - started, 1),
                warnings=0,
                objects=0,
                image_size=(modules / "vmlinuz").stat().st_size,
                package_size=written.stat().st_size,
                created=int(time.time()),
            )
            record(cache, kernel)
            step.outcome = f"{written.name}, release {release}, {kernel.package_size / 1e6:.1f} MB"
    return kernel


def _metadata(plan: DistributionPlan, epoch: int) -> PackageMetadata:
    return PackageMetadata(
        name=plan.package,
        version=plan.version,
        description=f"The distribution's kernel: {plan.title}",
        arch="x86_64",
        url=plan.record.url,
        license=LICENSE,
        provides=("linux",),
        builddate=epoch,
        packager=plan.record.packager or "rastos",
    )


def _keep_config(modules: Path, cache: Path, key: str) -> Path:
    place = cache / "built" / f"{key}.config"
    place.parent.mkdir(parents=True, exist_ok=True)
    config = modules / "config"
    write_atomic(place, config.read_bytes() if config.is_file() else b"")
    return place


def _stage(given: Path, stage: Path, plan: DistributionPlan) -> str:
    """Only the kernel, its modules and its copyright; the release."""
    folders = [path for path in (given / "usr/lib/modules").glob("*") if path.is_dir() and not path.is_symlink()]
    if len(folders) != 1 or not _RELEASE.fullmatch(folders[0].name):
        raise IntegrityError(
            "the package holds no modules of one kernel", on=plan.title, next_step="name another package"
        )
    release = folders[0].name
    modules = stage / "usr/lib/modules" / release
    modules.parent.mkdir(parents=True)
    shutil.move(folders[0], modules)
    for name, target in ((f"vmlinuz-{release}", "vmlinuz"), (f"config-{release}", "config")):
        path = given / "boot" / name
        if path.is_file() and not path.is_symlink():
            shutil.move(path, modules / target)
    if not (modules / "vmlinuz").is_file() or (modules / "vmlinuz").is_symlink():
        raise IntegrityError("the package holds no kernel image", on=plan.title, next_step="name another package")
    for name in ("build", "source"):
        (modules / name).unlink(missing_ok=True)
    (modules / "pkgbase").write_text(f"{plan.package}\n", encoding="utf-8")
    facts = {"profile": plan.profile, "initramfs": [], "command_line": ""}
    (modules / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for path in sorted((given / "usr/share/doc").glob("*/copyright")):
        kept = stage / "usr/share/doc" / plan.package / "copyright"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
    index_modules(stage, release)
    return release
