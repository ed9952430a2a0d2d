"""Creating an image: a plan whose key says what it is made of, carried out once and kept in the cache."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rastos.errors import HostError, UserError
from rastos.host import (
    attached,
    digest_of,
    mounted,
    private_mounts,
    rename_durable,
    require_root,
    working_directory,
    write_json,
)
from rastos.kernel import SecureBootKey
from rastos.package import (
    Change,
    Channel,
    Decide,
    Facts,
    LocalPackage,
    LocalRepository,
    Lockfile,
    Manifest,
    Plan,
    TransactionPolicy,
    apply_plan,
    package_paths,
    plan_change,
    policy_of,
    target_for,
)
from rastos.progress import Progress
from rastos.snapshot import MtoolsEsp, Store, create_session, deploy, plan_deploy

from .bootloader import install_bios_loader, install_bootloader
from .disk_making import (
    disk_packages,
    disk_words,
    kept_format,
    make_data_disks,
    make_swap,
    root_place,
    write_data_mounts,
    write_disks,
)
from .filesystem import make_esp, make_root
from .formats.converting import check_output
from .formats.table import find_format, format_of_name
from .formats.writing import write_format
from .initprogram import init_package
from .kernel_choice import kernel_of
from .machine_project import project_of, write_project
from .open import MANIFEST, OPTIONS, check_unused, image_lock
from .own_package import own_package
from .partition import Layout, plan_layout, write_layout
from .profile import ImageProfile
from .reproducible import EARLIEST, without_moment
from .system import configure_system, foreseen, says_much

VERSION = "7"  # of what this module makes; part of the key
SPARE = 1 << 30
KEPT_IMAGES = 6


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image will be made of. `key` names the content: same key, same image."""

    profile: ImageProfile
    packages: Plan
    kernel: str
    kernel_version: str
    layout: Layout
    output: Path
    key: str
    cached: bool
    policy: TransactionPolicy = field(default_factory=TransactionPolicy)
    secure_boot: SecureBootKey | None = None
    project: str = ""  # packages.toml of the machine itself

    def manifest(self) -> dict[str, Any]:
        """What the image holds, whoever made it and wherever it goes; kept inside it as image.json."""
        return {
            "profile": self.profile.name,
            "kernel": self.kernel,
            "kernel_version": self.kernel_version,
            "format": self.profile.format,
            "size": self.layout.size,
            "key": self.key,
            "packages": [f"{item.name} {item.shown_version}" for item in self.packages.install],
            "installed_size": self.packages.installed_size,
            "partitions": [asdict(self.layout.esp), asdict(self.layout.root)],
        }

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {**self.manifest(), "output": str(self.output), "cached": self.cached}


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was made: `seconds` by phase, empty where it came from the cache."""

    path: Path
    format: str
    size: int
    bytes_on_disk: int
    key: str
    cached: bool
    seconds: tuple[tuple[str, float], ...]


def plan_image(
    profile: ImageProfile,
    manifest: Manifest,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    output: Path,
    cache: Path,
    progress: Progress,
    lock: Lockfile | None = None,
    decide: Decide | None = None,
    secure_boot: SecureBootKey | None = None,
) -> ImagePlan:
    """Resolve everything an image is made of; writes nothing but the init program's package.

    With `lock` the packages are exactly those of a lockfile. `decide` answers what the manifest leaves open. `secure_boot`
    signs the boot loader and, with `profile.uki`, what it starts.

    Raises UserError for a kernel that isn't built, packages that aren't there, a disk that is too small.
    """
    if (profile.disk.luks or profile.disk.raid1 or profile.disk.data) and profile.format not in ("raw", "qcow2"):
        raise UserError(
            f"an encrypted root, a mirror or data disks can't be written as {profile.format}",
            on=profile.path,
            next_step="write qcow2 or raw; `rastos image convert` makes others of an encrypted one",
        )
    if profile.uki and profile.disk.bios:
        raise UserError(
            "a BIOS can't start a unified kernel image", on=profile.path, next_step="leave out uki or disk.bios"
        )
    kernel, packages = packages_of(
        profile, manifest, channels, repository, cache=cache, progress=progress, lock=lock, decide=decide
    )
    digests = {key: package.file.sha256 for key, package in packages.locked.items()}
    contents = "\n".join(
        f"{record.name} {record.version} {record.channel} {digests.get(record.name, record.sha256)}"
        for record in packages.records
    )
    described = repr(replace(profile, path=Path()))
    # the rules, and how channels convert packages, decide which files come out as well
    made = repr((policy_of(manifest), [getattr(channel, "conversion", "") for channel in channels]))
    project = project_of(manifest, channels) if profile.rastos else ""
    signed = (secure_boot.fingerprint,) if secure_boot else ()
    key = digest_of(VERSION, described, contents, kernel.sha256, made, project, *signed)
    disk = profile.disk
    layout = plan_layout(profile.size, profile.esp, seed=key, luks=disk.luks, bios=disk.bios, raid1=disk.raid1)
    if packages.installed_size > layout.root.size:
        raise UserError(
            f"the packages need {packages.installed_size >> 20} MiB, the root has {layout.root.size >> 20} MiB",
            next_step="make the image larger: --size",
        )
    cached = _cached(cache, key, kept_format(profile.disk, profile.format)).is_file()
    policy = policy_of(manifest)
    return ImagePlan(
        profile, packages, kernel.name, kernel.version, layout, output, key, cached, policy, secure_boot, project
    )


def packages_of(
    profile: ImageProfile,
    manifest: Manifest,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    cache: Path,
    progress: Progress,
    lock: Lockfile | None = None,
    decide: Decide | None = None,
) -> tuple[LocalPackage, Plan]:
    """The kernel of a profile, and the plan that brings all of its packages into an empty tree. UserError as `plan_image`."""
    kernel = kernel_of(profile, repository)
    packages = plan_packages(
        profile,
        (kernel.name,),
        manifest,
        channels,
        repository,
        cache=cache,
        progress=progress,
        lock=lock,
        decide=decide,
    )
    if says_much(profile):
        for fault in foreseen(profile, package_paths(packages, (repository.directory, cache / "packages"), cache)):
            raise fault
    return kernel, packages


def plan_packages(
    profile: ImageProfile,
    kernel: tuple[str, ...],
    manifest: Manifest,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    cache: Path,
    progress: Progress,
    lock: Lockfile | None = None,
    decide: Decide | None = None,
) -> Plan:
    """What brings a profile's packages and `kernel` (none: it isn't there yet) into an empty tree. UserError: some are not there."""
    init = init_package(repository, cache)
    own = (own_package(repository, cache, kind=kind_of(manifest)),) if profile.rastos else ()
    nowhere = target_for(cache / "images" / "empty-root", cache, immutable=True)
    facts = Facts(host=profile.hostname, profile=profile.name, arch=nowhere.arch)
    return plan_change(
        nowhere,
        channels,
        Change(
            install=tuple(
                dict.fromkeys((*profile.packages, *disk_packages(profile.disk, kind_of(manifest)), *kernel, init, *own))
            )
        ),
        progress,
        manifest=manifest,
        declared=manifest.declared(profile.sets, facts),
        decide=decide,
        lock=lock,
    )


def kind_of(manifest: Manifest) -> str:
    """What packages are called like: the kind of the manifest's channels, or the host's own."""
    kinds = {spec.kind for spec in manifest.channels.values()} - {"local"}
    return min(kinds) if kinds else "debian" if Path("/etc/debian_version").is_file() else "pacman"


def create_image(
    plan: ImagePlan,
    channels: Sequence[Channel],
    *,
    cache: Path,
    progress: Progress,
    passphrase: bytes | None = None,
) -> Image:
    """Make the image and put it at its output path in one rename; whatever fails leaves no image and no mount.

    `passphrase` opens its root, where that is to be encrypted: it goes to the output only, never into the cache.
    """
    require_root("create an image")
    if plan.profile.disk.luks and passphrase is None:
        raise UserError("an encrypted root needs a passphrase", next_step="give one: --luks-passphrase-file FILE")
    place = _cached(cache, plan.key, kept_format(plan.profile.disk, plan.profile.format))
    clock = _Clock(progress)
    check_output(plan.output, find_format(plan.profile.format), force=True)
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    with image_lock(plan.output, "creating the image"):
        if plan.output.exists():
            check_unused(plan.output)
        # entered for a cached image too: it removes what a killed run left
        with working_directory(cache / "images", "create") as work:
            if not place.is_file():
                _space(cache, plan)
                made = _make(plan, channels, cache, work, clock)
                write_json(_record(place), {**plan.manifest(), "seconds": dict(clock.laps)})
                rename_durable(made, place)
            os.utime(place)
            with clock.phase("copy to the output folder"):
                make_data_disks(plan.output, plan.profile.format, plan.profile.disk, work)
                write_disks(
                    place,
                    plan.profile.format,
                    plan.layout,
                    plan.profile.disk,
                    seed=plan.key,
                    passphrase=passphrase,
                    work=work,
                    output=plan.output,
                )
        _forget_old(cache)
    on_disk = plan.output.stat().st_blocks * 512
    return Image(plan.output, plan.profile.format, plan.layout.size, on_disk, plan.key, plan.cached, tuple(clock.laps))


def _make(plan: ImagePlan, channels: Sequence[Channel], cache: Path, work: Path, clock: _Clock) -> Path:
    private_mounts()
    disk = work / "disk.raw"
    layout = plan.layout
    with clock.phase("partition and format"):
        with open(disk, "xb") as stream:
            os.truncate(stream.fileno(), layout.size)
        write_layout(disk, layout)
        make_esp(disk, layout.esp, volume_id=plan.key[:8])
        if layout.bios:
            install_bios_loader(disk, layout)
    (work / "top").mkdir()
    start, size = root_place(layout)
    with attached(disk, offset=start, size=size) as device:
        with clock.phase("make the root file system"):
            make_root(device)
        with mounted(device, work / "top", "btrfs", OPTIONS) as top:
            _fill(plan, channels, cache, disk, top, clock)
    kind = find_format(kept_format(plan.profile.disk, plan.profile.format))
    if kind.name == "raw":
        with disk.open("rb") as stream:
            os.fsync(stream.fileno())
        return disk
    result = work / f"image{kind.suffix}"
    with clock.phase(f"write {kind.name}"):
        write_format(disk, "raw", result, kind, progress=clock.progress, compression=plan.profile.compress)
    return result


def _fill(plan: ImagePlan, channels: Sequence[Channel], cache: Path, disk: Path, top: Path, clock: _Clock) -> None:
    layout, profile = plan.layout, plan.profile
    esp = MtoolsEsp(disk, layout.esp.start, layout.esp.size, epoch=EARLIEST)
    cmdline = f"{profile.cmdline} {disk_words(layout, profile.disk, top)}".strip()
    store = Store.initialise(top, esp, root_partuuid=layout.root.uuid, cmdline=cmdline, uki=profile.uki)
    make_swap(top, profile.disk)
    with create_session(store, None, "create the image") as session:
        with clock.phase("install packages"):
            target = target_for(session.tree, cache, immutable=True)
            apply_plan(target, channels, plan.packages, clock.progress, policy=plan.policy)
        with clock.phase("configure the system"):
            configure_system(session.tree, profile, layout.esp)
            write_data_mounts(session.tree, profile.disk)
            if plan.project:
                write_project(session.tree, plan.project)
            esp.epoch = without_moment(session.tree)
            install_bootloader(esp, session.tree, plan.secure_boot)
        with clock.phase("first snapshot"):
            snapshot = session.commit(f"first system, profile {profile.name}")
    with clock.phase("first deployment"):
        deploy(store, plan_deploy(store, snapshot.id), clock.progress, secure_boot=plan.secure_boot)
    write_json(top / MANIFEST, {**plan.manifest(), "seconds": dict(clock.laps)})


def _cached(cache: Path, key: str, kind: str) -> Path:
    return cache / "images" / f"{key}{find_format(kind).suffix}"


def _record(place: Path) -> Path:
    """What a cached image is, beside it; its name ends in one of the formats' suffixes, which may have several dots."""
    return place.with_name(f"{place.name.partition('.')[0]}.json")


def _forget_old(cache: Path) -> None:
    """Keep the images used last: each costs what it has on disk."""
    kept = [path for path in (cache / "images").iterdir() if format_of_name(path) is not None]
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_IMAGES:]:
        path.unlink(missing_ok=True)
        _record(path).unlink(missing_ok=True)


def _space(cache: Path, plan: ImagePlan) -> None:
    (cache / "images").mkdir(parents=True, exist_ok=True)
    status = os.statvfs(cache / "images")
    free, needed = status.f_bavail * status.f_frsize, 2 * plan.packages.installed_size + SPARE
    if free < needed:
        raise HostError(
            f"{free >> 20} MiB are free, about {needed >> 20} MiB are needed",
            on=cache,
            next_step="free space, or set RASTOS_CACHE to a larger disk",
        )


class _Clock:
    """Phases as progress steps, and their durations."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.laps: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Run a block as a named phase."""
        started = time.monotonic()
        with self.progress.step(name[0].upper() + name[1:]):
            yield
        self.laps.append((name, round(time.monotonic() - started, 3)))
