"""The manifest of an image: every package with version and digest, the kernel, the disk, and what boots."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.host import read_json, sha256_file
from rastos.kernel import kernel_facts
from rastos.package import digest_of_tree, target_for
from rastos.progress import Progress
from rastos.snapshot import Store, boot_entries, kernels_in

from ..open import MANIFEST, OpenImage
from ..partition import ESP_TYPE, Partition
from .parts import Distribution, Part, distribution_of, parts_of
from .references import ImageReference, OpenSnapshot, opened_snapshot

FORMAT = 1
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The kernel a snapshot boots: release, package, profile; SHA-256 of its file and of its configuration ("": none)."""

    release: str = ""
    package: str = ""
    profile: str = ""
    sha256: str = ""
    config_sha256: str = ""


@dataclass(frozen=True, slots=True)
class BootsAs:
    """One deployment: its boot entry and state (new, good, bad, or none), and the kernel's command line."""

    number: int
    snapshot: int
    kernel: str
    entry: str
    state: str
    command_line: str


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """What an image holds. `profile` and `key` are those it was created with, "" where it does not say.

    `tree_digest` is that of `rastos package digest`; `esp_sha256` is over the partition's bytes; sizes in bytes.
    """

    path: Path
    format: str
    size: int
    profile: str
    key: str
    distribution: Distribution
    snapshot: int
    snapshot_uuid: str
    created: str
    package_digest: str
    tree_digest: str
    kernel: KernelFacts
    partitions: tuple[Partition, ...]
    esp_sha256: str
    deployments: tuple[BootsAs, ...]
    packages: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """As it is written to a file."""
        return {"what": "rastos image manifest", "version": FORMAT, **asdict(self), "path": self.path.name}


def image_manifest(reference: ImageReference, progress: Progress) -> ImageManifest:
    """Read it, of the snapshot named or of what boots next. Nothing is written. Raises what `opened_snapshot` raises."""
    with opened_snapshot(reference, writable=False, purpose="write its manifest") as opened:
        made = made_of(opened.image)
        with progress.step("Reading the packages"):
            packages = parts_of(opened.tree)
        with progress.step("Digest of the tree"):
            tree_digest = digest_of_tree(target_for(opened.tree, opened.tree))
        return ImageManifest(
            path=reference.path,
            format=opened.image.format,
            size=opened.image.disk.stat().st_size,
            profile=str(made.get("profile", "")),
            key=str(made.get("key", "")),
            distribution=distribution_of(opened.tree),
            snapshot=opened.snapshot.id,
            snapshot_uuid=opened.snapshot.uuid,
            created=opened.snapshot.created,
            package_digest=opened.snapshot.package_digest,
            tree_digest=tree_digest,
            kernel=kernel_of(opened),
            partitions=opened.image.partitions,
            esp_sha256=esp_digest(opened.image),
            deployments=deployments_of(opened.store),
            packages=packages,
        )


def made_of(image: OpenImage) -> Mapping[str, Any]:
    """What the image says it was created as; {} for one that does not."""
    place = image.top / MANIFEST
    value = read_json(place) if place.is_file() else {}
    return value if isinstance(value, dict) else {}


def kernel_of(opened: OpenSnapshot) -> KernelFacts:
    """The kernel that the snapshot boots: its deployment's, else its newest."""
    release = opened.deployment.kernel if opened.deployment else opened.snapshot.kernel
    found = next((item for item in kernels_in(opened.tree) if item.release == release), None)
    if found is None:
        return KernelFacts(release)
    place = opened.tree / "usr/lib/modules" / release
    return KernelFacts(
        release,
        found.package,
        found.profile,
        sha256_file(place / "vmlinuz"),
        sha256_file(place / "config") if (place / "config").is_file() else "",
    )


def kernel_command_line(tree: Path, release: str) -> str:
    """The words that the kernel's own package asks for."""
    return str(kernel_facts(tree, release).get("command_line", "")) if release else ""


def deployments_of(store: Store) -> tuple[BootsAs, ...]:
    """Every deployment that can be read, by number, with the boot entry it has."""
    entries = {entry.number: (entry, values) for entry, values, _ in boot_entries(store.esp)}
    found = []
    for item in store.readable_deployments():
        entry, values = entries.get(item.number, (None, {}))
        name, state = (entry.name, entry.state) if entry else ("", "none")
        found.append(BootsAs(item.number, item.snapshot, item.kernel, name, state, values.get("options", "")))
    return tuple(found)


def esp_digest(image: OpenImage) -> str:
    """SHA-256 over the bytes of the EFI system partition."""
    part = next(part for part in image.partitions if part.type == ESP_TYPE)
    digest, left = hashlib.sha256(), part.size
    with open(image.disk, "rb", buffering=0) as stream:
        stream.seek(part.start)
        while left and (block := stream.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
