"""What a build will do, decided before it starts: source, merged options, build key, and whether it is done already.

Build key: digest of the source's digest, the merged request, base, toolchain, build variables, the certificate of the key
that signs modules, and packaging version. Same key and the package still in the local repository: nothing is built. What a
plan can't know yet (a tarball that was never fetched, a key that was never made) `settled` fills in while building.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rastos.host import digest_of, read_json
from rastos.kernel.fragments import Merged, merge
from rastos.kernel.profile import PACKAGES, KernelProfile
from rastos.kernel.secureboot import SecureBootKey
from rastos.kernel.signing import IN_TREE, SigningKey, known_module_key
from rastos.kernel.sources import MIRROR, Patch, Source, find_source, read_series
from rastos.kernel.store import BuiltKernel, recorded
from rastos.kernel.toolchain import Toolchain, find_toolchain
from rastos.package import LocalRepository

PACKAGING = "2"  # raised whenever the same build would be packaged differently
DEBUG_PACKAGING = "2"  # the same for the debug package alone
RELEASE = "1"  # pkgrel
KEYRING = "kernel.org.gpg"  # beside the keys of the state folder: whose signatures of kernel.org count
ARCH = "x86"  # the kernel's name for x86_64

# Everything that would make two builds of the same source differ (Documentation/kbuild/reproducible-builds.rst)
IDENTITY = {
    "KBUILD_BUILD_USER": "rastos",
    "KBUILD_BUILD_HOST": "rastos",
    "KBUILD_BUILD_VERSION": "1",
    "LOCALVERSION": "",
}


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One build: what from, what with, where; `existing` is the finished kernel of the same key, if there is one.

    `packages` are made beside the kernel's: "headers", "debug"; `secure_boot` signs the kernel image.
    """

    profile: KernelProfile
    source: Source
    merged: Merged
    fragments: tuple[Path, ...]
    toolchain: tuple[str, ...]
    jobs: int
    key: str
    cache: Path
    repository: LocalRepository
    existing: BuiltKernel | None
    tools: Toolchain
    state: Path
    signing: SigningKey | None = None
    reproducible: bool = True
    packages: tuple[str, ...] = ()
    secure_boot: SecureBootKey | None = None

    @property
    def signs(self) -> bool:
        """Whether modules are signed with the key of the state folder: asked for, and no other key is named."""
        return signs_modules(self.profile, self.merged)

    def make(self, *targets: str) -> list[str]:
        """The command line of make for this build."""
        argv = ["make", "-C", str(self.source.tree), f"O={self.tree}", f"ARCH={ARCH}", f"-j{self.jobs}"]
        return [*argv, *self.tools.variables, *targets]

    @property
    def requested(self) -> str:
        """The options asked for as a file, with the key that signs modules."""
        return self.merged.text() + (f'CONFIG_MODULE_SIG_KEY="{IN_TREE}"\n' if self.signs else "")

    @property
    def cached(self) -> bool:
        """Whether there is nothing to build."""
        return self.existing is not None

    @property
    def tree(self) -> Path:
        """The build tree: kept, so that the next build of this profile and source makes only what changed."""
        return self.cache / "build" / f"{self.profile.name}-{self.source.id}"

    @property
    def log(self) -> Path:
        """Where make's whole output is kept."""
        return self.cache / "logs" / f"{self.profile.name}-{self.source.id}.log"

    def expected_objects(self, version: str) -> int | None:
        """Objects of a complete build: counted here the last time, else as shipped with the profile."""
        counts = self.cache / "counts.json"
        known = read_json(counts) if counts.is_file() else {}
        return known.get(f"{self.profile.name} {series(version)}") or self.profile.expected_objects(version)

    def to_json(self) -> dict[str, Any]:
        """For --dry-run --json."""
        return {
            "profile": self.profile.name,
            "package": self.profile.package,
            "packages": [self.profile.package, *(f"{self.profile.package}-{kind}" for kind in self.packages)],
            "secure_boot": self.secure_boot.subject if self.secure_boot else None,
            "source": {"title": self.source.title, "version": self.source.version, "digest": self.source.digest},
            "base": self.profile.base,
            "fragments": [str(path) for path in self.fragments],
            "options": len(self.merged.requests),
            "overridden": [
                {"symbol": item.later.symbol, "from": item.earlier.origin, "to": item.later.origin}
                for item in self.merged.overrides
            ],
            "toolchain": list(self.toolchain),
            "jobs": self.jobs,
            "reproducible": self.reproducible,
            "module_signing": self.signing.certificate if self.signing else "a new key" if self.signs else None,
            "patches": [str(path) for path, _ in self.source.patches],
            "key": self.key,
            "cached": self.cached,
            "unpacked": self.source.unpacked,
            "tree": str(self.tree),
            "log": str(self.log),
        }


def series(version: str) -> str:
    """6.12.117 → 6.12."""
    return ".".join(version.split(".")[:2])


def signs_modules(profile: KernelProfile, merged: Merged) -> bool:
    """Whether this configuration signs modules, with a key that it doesn't name itself."""
    values = {item.symbol: item.value for item in merged.requests}
    if "MODULE_SIG_KEY" in values:
        return False
    return "y" in (values.get("MODULE_SIG"), values.get("MODULE_SIG_ALL"), values.get("MODULE_SIG_FORCE"))


def plan_build(
    profile: KernelProfile,
    *,
    source: str | None = None,
    ref: str | None = None,
    patches: Sequence[Path] = (),
    mirror: str = MIRROR,
    keyring: Path | None = None,
    extra_fragments: Sequence[Path] = (),
    settings: Sequence[str] = (),
    packages: Sequence[str] = (),
    toolchain: str = "gcc",
    reproducible: bool = True,
    secure_boot: SecureBootKey | None = None,
    jobs: int,
    cache: Path,
    repository: LocalRepository,
    state: Path | None = None,
) -> BuildPlan:
    """Decide a build; `source` and `ref` as `find_source` takes them, `settings` like "X=y", `patches` after the profile's.

    `packages` ("headers", "debug") beside those the profile names. `state` keeps the keys (default: the folder that the
    repository lies in). Changes nothing but remembered digests in `cache`. Raises UserError for what is not there,
    HostError for a missing compiler.
    """
    cache = cache.absolute()  # make runs in other folders
    state = (state or repository.directory.parent).absolute()
    fragments = (*profile.fragments, *extra_fragments)
    merged = merge(fragments, settings)
    applied = (*(read_series(profile.patches) if profile.patches else ()), *(Patch(path) for path in patches))
    keyring = keyring or state / "keys" / KEYRING
    found = find_source(source, cache, ref=ref, patches=applied, mirror=mirror, keyring=keyring)
    tools = find_toolchain(toolchain)
    signing = known_module_key(state) if signs_modules(profile, merged) else None
    plan = BuildPlan(
        *(profile, found, merged, fragments, tools.versions, jobs, "", cache, repository, None),
        *(tools, state, signing, reproducible),
        tuple(kind for kind in PACKAGES if kind in (*profile.packages, *packages)),
        secure_boot,
    )
    return settled(plan, found, signing)


def settled(plan: BuildPlan, source: Source, signing: SigningKey | None) -> BuildPlan:
    """The plan with source and key as they are now: its build key, and the finished kernel if there is one."""
    now = replace(plan, source=source, signing=signing)
    key = build_key(now)
    return replace(now, key=key, existing=recorded(plan.cache, plan.repository, key) if source.digest else None)


def build_key(plan: BuildPlan) -> str:
    """Digest of everything that the package's bytes depend on."""
    variables = "\n".join(f"{name}={value}" for name, value in sorted(IDENTITY.items()))
    further = [*(plan.tools.variables and ("tools", *plan.tools.variables))]
    if plan.signs:
        further += ["signing", plan.signing.certificate if plan.signing else ""]
    if not plan.reproducible:
        further += ["not reproducible"]
    if "debug" in plan.packages:
        further += ["debug", DEBUG_PACKAGING]
    if plan.secure_boot is not None:
        further += ["secure boot", plan.secure_boot.fingerprint]
    return digest_of(
        *(plan.source.digest, plan.merged.text(), plan.profile.base, plan.profile.package),
        *("\n".join(plan.toolchain), ARCH, variables, PACKAGING, RELEASE, *further),
        *(" ".join(plan.packages), " ".join(plan.profile.initramfs), plan.profile.command_line),
    )
