"""A new root of a tree of snapshots: a system made from nothing, as an image's first snapshot is, beside those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import read_json
from rastos.package import (
    Channel,
    Decide,
    Layer,
    LocalRepository,
    Manifest,
    Plan,
    TransactionPolicy,
    apply_layers,
    how_made,
    policy_of,
    target_for,
)
from rastos.progress import Progress
from rastos.snapshot import Snapshot, Store, create_session

from .image import image_layers, packages_of
from .open import MANIFEST
from .partition import Partition
from .profile import ImageProfile
from .reproducible import without_moment
from .system import configure_system


@dataclass(frozen=True, slots=True)
class RootPlan:
    """What the new snapshot will be made of."""

    profile: ImageProfile
    packages: Plan
    kernel: str
    kernel_version: str
    esp: Partition
    policy: TransactionPolicy
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        packages = self.packages.to_json()
        return {"profile": self.profile.name, "kernel": self.kernel, "packages": packages}


def plan_root(
    store: Store,
    profile: ImageProfile,
    manifest: Manifest,
    channels: Sequence[Channel],
    repository: LocalRepository,
    *,
    cache: Path,
    progress: Progress,
    decide: Decide | None = None,
) -> RootPlan:
    """Resolve what a new system on this store's disk is made of.

    Raises UserError for a kernel that isn't built or packages that aren't there, IntegrityError where the disk does not say
    what its partitions are.
    """
    kernel, packages = packages_of(
        profile, manifest, channels, repository, cache=cache, progress=progress, decide=decide
    )
    policy = policy_of(manifest)
    # in layers as an image's, so that the same packages give the same tree
    layers = image_layers(profile, manifest, packages, kernel.name, rules=how_made(channels, policy))
    return RootPlan(profile, packages, kernel.name, kernel.version, _esp_of(store), policy, layers)


def create_root(
    store: Store,
    plan: RootPlan,
    channels: Sequence[Channel],
    *,
    cache: Path,
    progress: Progress,
    description: str = "",
    name: str = "",
) -> Snapshot:
    """Make it: a snapshot without a parent. Whatever fails leaves nothing."""
    with create_session(store, None, "a new root") as session:
        target = target_for(session.tree, cache, immutable=True)
        with progress.step("Install packages"):
            apply_layers(target, channels, plan.layers, progress, policy=plan.policy)
        with progress.step("Configure the system"):
            configure_system(session.tree, plan.profile, plan.esp)
            without_moment(session.tree)
        return session.commit(description or f"new system, profile {plan.profile.name}", name=name)


def _esp_of(store: Store) -> Partition:
    place = store.top / MANIFEST
    try:
        return Partition(**read_json(place)["partitions"][0])
    except (OSError, IntegrityError, KeyError, IndexError, TypeError) as error:
        raise IntegrityError(
            "the disk does not say what its partitions are",
            on=place,
            next_step="make a new image: `rastos image create`; or begin from a snapshot that is there",
        ) from error
