"""Creating an image: a plan whose key says what it is made of, carried out once and kept in the cache."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rastos.errors import HostError, UserError
from rastos.host import (
    digest_of,
    locked,
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
    Layer,
    LocalPackage,
    LocalRepository,
    Lockfile,
    Manifest,
    Plan,
    TransactionPolicy,
    how_made,
    layers_of,
    package_paths,
    plan_change,
    policy_of,
    set_groups,
    target_for,
)
from rastos.progress import Progress

from .clock import Clock
from .disk_making import check_disk, disk_packages, kept_format, make_data_disks, root_place, write_disks
from .formats.converting import check_output
from .formats.table import find_format
from .initprogram import NAME as INIT
from .initprogram import init_package
from .kept_images import cached_place, copy_kept, forget_old, keep_image, record_of
from .machine_project import project_of
from .making import make_image
from .open import check_unused, image_lock
from .own_package import NAME as OWN
from .own_package import own_package
from .partition import Layout, plan_layout
from .profile import ImageProfile
from .reasons import StageReport, in_a_line, inputs_of, last_inputs, report
from .stages import StageCache
from .system import foreseen, says_much

VERSION = "8"  # of what is made here; part of the key
SPARE = 1 << 30
SAME_SECONDS = 3600.0  # to wait for another process that makes the same image


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image will be made of. `key` names the content: same key, same image.

    `layers` are its packages as they are installed, `stages` what is made again and why; `cacheable`: its layers may be kept,
    since no hook of the manifest's does things that no key can name. `inputs`: what the next build compares itself with.
    """

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
    layers: tuple[Layer, ...] = ()
    stages: tuple[StageReport, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    use_cache: bool = True
    cacheable: bool = True

    @property
    def why(self) -> str:
        """What is made again and because of what, in one line."""
        return in_a_line(self.stages) if self.use_cache else "everything again: the cache is not to be used"

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
        stages = [asdict(stage) for stage in self.stages]
        return {**self.manifest(), "output": str(self.output), "cached": self.cached, "stages": stages, "why": self.why}


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
    use_cache: bool = True,
) -> ImagePlan:
    """Resolve everything an image is made of; writes nothing but the init program's package.

    With `lock` the packages are exactly those of a lockfile. `decide` answers what the manifest leaves open. `secure_boot`
    signs the boot loader and, with `profile.uki`, what it starts. Without `use_cache` everything is made again.

    Raises UserError for a kernel that isn't built, packages that aren't there, a disk that is too small.
    """
    check_disk(profile.disk, profile.format, uki=profile.uki, on=profile.path)
    kernel, packages = packages_of(
        profile, manifest, channels, repository, cache=cache, progress=progress, lock=lock, decide=decide
    )
    policy = policy_of(manifest)
    # how channels convert packages decides which files come out as well
    rules = "\n".join([how_made(channels, policy), *(str(getattr(channel, "conversion", "")) for channel in channels)])
    layers = image_layers(profile, manifest, packages, kernel.name, rules=rules)
    described = repr(replace(profile, path=Path()))
    project = project_of(manifest, channels) if profile.rastos else ""
    signed = secure_boot.fingerprint if secure_boot else ""
    key = digest_of(VERSION, described, layers[-1].key, kernel.sha256, project, signed)
    disk = profile.disk
    layout = plan_layout(profile.size, profile.esp, seed=key, luks=disk.luks, bios=disk.bios, raid1=disk.raid1)
    if packages.installed_size > layout.root.size:
        # compressed they take about three quarters of that; the rest is for metadata, logs and the first update
        least = layout.size - layout.root.size + packages.installed_size * 5 // 4 + (256 << 20)
        raise UserError(
            f"the packages need {packages.installed_size >> 20} MiB, the root has {layout.root.size >> 20} MiB",
            next_step=f"make the image larger: --size {(least >> 26) + 1 << 6}M at least",
        )
    place = cached_place(cache, key, kept_format(disk, profile.format))
    cached = use_cache and place.is_file() and record_of(place).is_file()
    cacheable = not (policy.pre_hooks or policy.post_hooks)
    inputs = inputs_of(profile, layers, rules=rules, other={"own packages.toml": project, "secure-boot-key": signed})
    done = 0
    if use_cache and cacheable:
        _, done = StageCache(cache / "stages").best([layer.key for layer in layers], room=root_place(layout)[1])
    stages = report(layers, done=done, whole=cached, inputs=inputs, before=last_inputs(_last(cache, profile)))
    if not use_cache:
        stages = tuple(replace(stage, because="the cache is not to be used") for stage in stages)
    return ImagePlan(
        profile,
        packages,
        kernel.name,
        kernel.version,
        layout,
        output,
        key,
        cached,
        policy,
        secure_boot,
        project,
        layers,
        stages,
        inputs,
        use_cache,
        cacheable,
    )


def image_layers(
    profile: ImageProfile, manifest: Manifest, packages: Plan, kernel: str, *, rules: str
) -> tuple[Layer, ...]:
    """The packages of an image as layers: by sets, then the profile's own, then the kernel and what is made here.

    All in one where the manifest has hooks, which are to run once.
    """
    if manifest.hooks:
        return layers_of(packages, [("packages", packages.order)], rules=rules)
    facts = Facts(host=profile.hostname, profile=profile.name, arch=platform.machine())
    declared = [item.target for item in manifest.declared(profile.sets, facts)]
    groups = set_groups(manifest, profile.sets, declared)
    own = "kernel and rastos" if profile.rastos else "kernel"
    return layers_of(
        packages,
        [
            *groups,
            ("the profile's", (*profile.packages, *disk_packages(profile.disk, kind_of(manifest)))),
            (own, (INIT, OWN, kernel)),
        ],
        rules=rules,
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


def kernel_of(profile: ImageProfile, repository: LocalRepository) -> LocalPackage:
    """The package of a profile's kernel. UserError: it is not built."""
    name = profile.kernel if repository.find(profile.kernel) else f"linux-rastos-{profile.kernel}"
    kernel = repository.find(name)
    if kernel is None:
        built = [item.name for item in repository.packages() if item.name.startswith("linux-")]
        raise UserError(
            f"the kernel '{profile.kernel}' is not built",
            next_step=f"`rastos kernel build --profile {profile.kernel}`"
            + (f"; built: {', '.join(built)}" if built else ""),
        )
    return kernel


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

    What was made before and is still as it was comes from the cache. Raises BusyError while the output is in use.
    `passphrase` opens its root, where that is to be encrypted: it goes to the output only, never into the cache.
    """
    require_root("create an image")
    if plan.profile.disk.luks and passphrase is None:
        raise UserError("an encrypted root needs a passphrase", next_step="give one: --luks-passphrase-file FILE")
    place = cached_place(cache, plan.key, kept_format(plan.profile.disk, plan.profile.format))
    clock = Clock(progress)
    check_output(plan.output, find_format(plan.profile.format), force=True)
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    with image_lock(plan.output, "creating the image"):
        if plan.output.exists():
            check_unused(plan.output)
        with locked(cache / "locks" / f"image-{plan.key[:16]}.lock", f"making {plan.output.name}", wait=SAME_SECONDS):
            # entered for a cached image too: it removes what a killed run left
            with working_directory(cache / "images", "create") as work:
                make_data_disks(plan.output, plan.profile.format, plan.profile.disk, work)
                write = _writer(plan, passphrase, work)
                cached = plan.use_cache and copy_kept(place, plan.output, clock, write)
                if not cached:
                    _space(cache, plan)
                    made = make_image(plan, channels, cache, work, clock)
                    keep_image(made, place, plan.output, plan.manifest(), clock, write)
                    write_json(_last(cache, plan.profile), plan.inputs)
            forget_old(cache)
    on_disk = plan.output.stat().st_blocks * 512
    return Image(plan.output, plan.profile.format, plan.layout.size, on_disk, plan.key, cached, tuple(clock.laps))


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


def _writer(plan: ImagePlan, passphrase: bytes | None, work: Path) -> Callable[[Path], None] | None:
    """What makes the output of a kept image, where that is more than a copy: an encrypted root, a mirror."""
    disk = plan.profile.disk
    if not (disk.luks or disk.raid1):
        return None

    def write(kept: Path) -> None:
        kind, output = plan.profile.format, plan.output
        write_disks(kept, kind, plan.layout, disk, seed=plan.key, passphrase=passphrase, work=work, output=output)

    return write


def _last(cache: Path, profile: ImageProfile) -> Path:
    return cache / "stages" / f"{digest_of(profile.name)[:16]}.last"
