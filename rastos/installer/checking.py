"""An image profile held against what there is, without building: packages, kernel, disk, units, and whether anybody can log in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rastos.errors import RastosError, UserError
from rastos.kernel import distro_request, profiles
from rastos.package import Channel, LocalRepository, Manifest, PackagePaths, package_paths
from rastos.progress import Progress

from .image import kernel_of, plan_packages
from .partition import plan_layout
from .profile import ImageProfile, read_image_profile
from .profile.keys import near
from .system import foreseen

Level = Literal["error", "warning", "note"]
FULL = 0.8  # of the root: beyond that the first upgrade may not fit
SLACK = 128 << 20  # bytes of the file system's own, and of the deployment's
WEAK = ("$1$", "$md5", "$3$")  # crypt(5): not for new passwords


@dataclass(frozen=True, slots=True)
class ProfileFinding:
    """Something about a profile: an error stops `create`, a warning is likely not meant, a note is for knowing."""

    level: Level
    what: str
    on: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class ProfileCheck:
    """What a check saw. Sizes in bytes; 0 where it did not come so far. `least_size`: the smallest disk that would do."""

    name: str
    findings: tuple[ProfileFinding, ...]
    packages: int = 0
    installed_size: int = 0
    size: int = 0
    least_size: int = 0

    @property
    def passed(self) -> bool:
        """Whether `create` would begin."""
        return not any(item.level == "error" for item in self.findings)


def check_image_profile(
    name: str,
    folders: Sequence[Path],
    manifest: Manifest,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    cache: Path,
    progress: Progress,
) -> ProfileCheck:
    """Check a profile by name or file. Nothing is built and nothing fetched but package indexes; raises nothing but what the
    channels raise when they can't be reached at all."""
    try:
        reading = read_image_profile(name, folders)
    except UserError as error:
        return ProfileCheck(name, (_finding(error),))
    profile = reading.profile
    if reading.faults:
        return ProfileCheck(profile.name, tuple(_finding(error) for error in reading.faults), size=profile.size)
    findings = [*_access(profile)]
    kernel, about = _kernel(profile, folders, repository)
    findings += about
    try:
        packages = plan_packages(profile, kernel, manifest, channels, repository, cache=cache, progress=progress)
    except RastosError as error:
        return ProfileCheck(profile.name, (*findings, _finding(error, profile.origin("sets"))), size=profile.size)
    paths = package_paths(packages, (repository.directory, cache / "packages"), cache)
    findings += [_finding(error) for error in foreseen(profile, paths)]
    findings += _keys_without_server(profile, paths)
    if paths.unknown:
        what = f"{len(paths.unknown)} packages were never fetched: units and the like are checked as far as the others tell"
        findings.append(ProfileFinding("note", what, str(profile.path)))
    least = _least_size(profile, packages.installed_size)
    findings += _room(profile, packages.installed_size, least)
    return ProfileCheck(
        profile.name, tuple(findings), len(packages.install), packages.installed_size, profile.size, least
    )


def _finding(error: RastosError, on: str = "") -> ProfileFinding:
    detail = error.detail.splitlines()
    what = f"{error.what}: {detail[0].strip()}" if detail else error.what
    return ProfileFinding("error", what, error.on or on, error.next_step)


def _access(profile: ImageProfile) -> list[ProfileFinding]:
    """Who can log in, and who only seems to."""
    found = []
    if not (profile.root_password or profile.ssh_keys) and not any(
        user.password or user.ssh_keys for user in profile.users
    ):
        step = (
            "give root or a user a key or a password hash (`rastos image init`), or name one when creating: --ssh-key"
        )
        found.append(ProfileFinding("warning", "nobody can log in", str(profile.path), step))
    for user in profile.users:
        if user.sudo == "password" and not user.password:
            what = f"{user.name} may use sudo, which asks for a password that there isn't"
            step = 'write sudo = "no-password", or give a password hash'
            found.append(ProfileFinding("warning", what, profile.origin("users", user.name, "sudo"), step))
    for key, text, where in (
        ("root", profile.root_password, profile.origin("root-password")),
        *((user.name, user.password, profile.origin("users", user.name, "password")) for user in profile.users),
    ):
        if text.startswith(WEAK):
            step = "make one with `openssl passwd -6`"
            found.append(ProfileFinding("warning", f"{key}'s password hash is easily broken", where, step))
    return found


def _kernel(
    profile: ImageProfile, folders: Sequence[Path], repository: LocalRepository
) -> tuple[tuple[str, ...], list[ProfileFinding]]:
    """The package of its kernel where there is one already, else what is to be done."""
    where = profile.origin("kernel")
    try:
        if distro_request(profile.kernel) is not None:
            return (), [ProfileFinding("note", "the distribution's kernel is packaged by `image create`", where)]
        return (kernel_of(profile, repository).name,), []
    except UserError as error:
        known = [item.name for item in profiles(folders)]
        if profile.kernel in known:
            return (), [
                ProfileFinding("warning", error.what, where, f"`rastos kernel build --profile {profile.kernel}`")
            ]
        step = near(profile.kernel, [*known, "distro"], "kernel profiles")
        return (), [ProfileFinding("error", f"there is no kernel '{profile.kernel}'", where, step)]


def _keys_without_server(profile: ImageProfile, paths: PackagePaths) -> list[ProfileFinding]:
    keys = bool(profile.ssh_keys) or any(user.ssh_keys for user in profile.users)
    if not keys or not paths.complete or "usr/sbin/sshd" in paths.paths or "usr/bin/sshd" in paths.paths:
        return []
    where = profile.origin("ssh-keys")
    step = 'add it: packages = ["openssh-server"]'
    return [ProfileFinding("warning", "there are SSH keys, and no package brings an SSH server", where, step)]


def _least_size(profile: ImageProfile, installed: int) -> int:
    """A disk that holds the packages unpacked (compression is not counted on), the ESP and what the file system takes."""
    needed = profile.esp + installed + SLACK
    step = 256 << 20
    return -(-needed // step) * step


def _room(profile: ImageProfile, installed: int, least: int) -> list[ProfileFinding]:
    where = profile.origin("size")
    try:
        root = plan_layout(profile.size, profile.esp, seed="").root.size
    except UserError as error:
        return [ProfileFinding("error", error.what, where, f'write size = "{least >> 20}M" or more')]
    told = f"the packages need {installed >> 20} MiB, the root has {root >> 20} MiB"
    if installed > root:
        return [
            ProfileFinding("error", f"the disk is too small: {told}", where, f'write size = "{least >> 20}M" or more')
        ]
    if installed > FULL * root:
        step = f'write size = "{(least + (least >> 1)) >> 20}M": an upgrade needs room beside what is there'
        return [ProfileFinding("warning", f"the disk is nearly full: {told}", where, step)]
    return []
