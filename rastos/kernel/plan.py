"""What a build will do, decided before it starts: source, merged options, build key, and whether it is done already.

Build key: digest of the source's digest, the merged request, base, toolchain, build variables and packaging version.
Same key and the package still in the local repository: nothing is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.host import digest_of, read_json
from rastos.kernel.fragments import Merged, merge
from rastos.kernel.profiles import PACKAGES, KernelProfile
from rastos.kernel.secureboot import SecureBootKey
from rastos.kernel.sources import Source, find_source, toolchain
from rastos.kernel.store import BuiltKernel, recorded
from rastos.package import LocalRepository

PACKAGING = "2"  # raised whenever the same build would be packaged differently
RELEASE = "1"  # pkgrel
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
    packages: tuple[str, ...] = ()
    secure_boot: SecureBootKey | None = None

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
            "key": self.key,
            "cached": self.cached,
            "unpacked": self.source.unpacked,
            "tree": str(self.tree),
            "log": str(self.log),
        }


def series(version: str) -> str:
    """6.12.117 → 6.12."""
    return ".".join(version.split(".")[:2])


def plan_build(
    profile: KernelProfile,
    *,
    source: str | None = None,
    extra_fragments: Sequence[Path] = (),
    settings: Sequence[str] = (),
    packages: Sequence[str] = (),
    secure_boot: SecureBootKey | None = None,
    jobs: int,
    cache: Path,
    repository: LocalRepository,
) -> BuildPlan:
    """Decide a build; `source` as `find_source` takes it, `settings` like "X=y", `packages` beside those the profile names.

    Changes nothing but remembered digests in `cache`.
    """
    fragments = (*profile.fragments, *extra_fragments)
    merged = merge(fragments, settings)
    found = find_source(source, cache)
    tools = toolchain()
    variables = "\n".join(f"{name}={value}" for name, value in sorted(IDENTITY.items()))
    beside = tuple(kind for kind in PACKAGES if kind in (*profile.packages, *packages))
    key = digest_of(
        *(found.digest, merged.text(), profile.base, profile.package, "\n".join(tools)),
        *(ARCH, variables, PACKAGING, RELEASE),
        *(" ".join(beside), " ".join(profile.initramfs), profile.command_line),
        *((secure_boot.fingerprint,) if secure_boot else ()),
    )
    existing = recorded(cache, repository, key)
    return BuildPlan(
        profile, found, merged, fragments, tools, jobs, key, cache, repository, existing, beside, secure_boot
    )
