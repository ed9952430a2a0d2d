"""The distribution's kernel, taken instead of building one: its package laid out anew as those built here are.

Debian keeps the kernel in /boot and lets scripts index modules, make an initramfs and update boot loaders. Here the package holds
all of it: vmlinuz beside its modules, their indexes; no scripts, no initramfs-tools. rastos makes the initramfs at deploy.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import run, working_directory
from rastos.kernel.packaging.layout import LICENSE, index_modules, settle
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

NAME = "linux-rastos-distro"
# Debian: the kernel for virtual machines, the one for everything; Arch
KNOWN = ("linux-image-cloud-amd64", "linux-image-amd64", "linux")
FORMAT = 1  # raised whenever the same package would be laid out differently; the release of the package
_RELEASE = re.compile(r"\d+\.\d+[\w.+~-]*")


@dataclass(frozen=True, slots=True)
class DistributionPlan:
    """Which package of which channel becomes the kernel; `title` as the distribution writes it. `present`: it is here already."""

    record: PackageRecord
    title: str
    channel: str
    version: str
    present: bool
    package: str = NAME

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "package": self.package,
            "version": self.version,
            "from": self.title,
            "channel": self.channel,
            "size": self.record.download_size,
            "sha256": self.record.sha256,
            "present": self.present,
        }


def plan_distribution(
    channels: Sequence[Channel], repository: LocalRepository, progress: Progress, *, wanted: str = ""
) -> DistributionPlan:
    """The kernel that the channels offer: `wanted`, else the first there is of `KNOWN`. UserError: they offer none."""
    names = (wanted,) if wanted else KNOWN
    for channel, index in zip(channels, load_indexes(channels, progress), strict=True):
        for name in names:
            if name not in index:
                continue
            record = index.record(name)
            # linux-image-amd64 only names the package of the day
            real = [item for item in record.depends if re.match(r"linux-image-\d", item)]
            if real:
                record = index.record(re.split(r"[<>=]", real[0])[0])
            shown = channel.display_version(record.version)
            version = f"{re.sub(r'[^A-Za-z0-9.]', '_', shown)}-{FORMAT}"
            found = repository.find(NAME)
            title = f"{record.name} {shown}"
            here = (found.version, found.record.description, found.path.is_file()) if found else ()
            present = here == (version, _description(title), True)
            return DistributionPlan(record, title, channel.name, version, present)
    raise UserError(
        f"no channel has {' or '.join(names)}",
        next_step="name the kernel's package: rastos kernel distro --package NAME; or build one: rastos kernel build",
    )


def take_distribution(
    plan: DistributionPlan, channels: Sequence[Channel], repository: LocalRepository, cache: Path, progress: Progress
) -> Path:
    """Fetch, verify, lay out, add to the repository; the package's path there. IntegrityError: it holds no kernel."""
    if plan.present:
        found = repository.find(NAME)
        assert found is not None
        return found.path
    record = plan.record
    channel = next(item for item in channels if item.name == plan.channel)
    with working_directory(cache / "work", "distribution-") as work:
        wanted = Wanted(record.name, record.version, record.filename, record.sha256, record.download_size)
        channel.fetch([wanted], work / "files", progress)
        with progress.step(f"Lay out {plan.title}") as step:
            given = work / "given"
            given.mkdir()
            argv = ("bsdtar", "-x", "--no-same-owner", "-f", work / "files" / record.filename, "-C", given)
            run(argv, what=f"unpack {record.name}")
            stage = work / "tree"
            release = _stage(given, stage, plan)
            epoch = record.builddate or int((stage / "usr/lib/modules" / release / "vmlinuz").stat().st_mtime)
            settle(stage, epoch)
            metadata = PackageMetadata(
                name=NAME,
                version=plan.version,
                description=_description(plan.title),
                arch="x86_64",
                url=record.url,
                license=LICENSE,
                provides=("linux",),
                builddate=epoch,
                packager=record.packager or "rastos",
            )
            written = write_package(metadata, stage, work, epoch=epoch)
            repository.add(written)
            step.outcome = f"{written.name}, release {release}, {written.stat().st_size / 1e6:.1f} MB"
        return repository.directory / written.name


def _description(title: str) -> str:
    return f"The distribution's kernel: {title}"


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
    (modules / "pkgbase").write_text(f"{NAME}\n", encoding="utf-8")
    facts = {"profile": "distro", "initramfs": [], "command_line": ""}
    (modules / "rastos.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for copyright_ in sorted((given / "usr/share/doc").glob("*/copyright")):
        kept = stage / "usr/share/doc" / NAME / "copyright"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copyright_, kept)
    index_modules(stage, release)
    return release
