"""Whether an image comes out the same twice: it is built again beside the first, with empty caches, and all is compared.

What may differ and does: the file system's id and layout, the identities of store and snapshot, the dates in their records
(docs/image-contents.md). Everything a machine sees of it counts: partition table, ESP, every path with its time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import UserError
from rastos.host import working_directory
from rastos.package import Channel, Leaf, digest_of_tree, exact_manifest, target_for
from rastos.progress import Progress

from ..image import ImagePlan, create_image
from .differing import FileChange, changed_paths
from .manifest import esp_digest
from .references import ImageReference, OpenSnapshot, opened_snapshot

# when it was deployed, which is what this file is there to say
DATED = frozenset({"etc/rastos/deployment.json"})
COMPARABLE = ("qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd")
_HEAD, _TAIL = 1 << 20, 33 * 512  # UEFI 2.10, 5.3: the table at both ends


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How two builds compare: digests of both, and the paths that differ; `times` are paths whose time alone does."""

    tree_digests: tuple[str, str]
    table: bool
    esp: bool
    paths: tuple[FileChange, ...]
    times: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether nothing differs but what has to."""
        return self.table and self.esp and not self.paths and not self.times


@dataclass(frozen=True, slots=True)
class _Built:
    digest: str
    table: str
    esp: str
    leaves: tuple[Leaf, ...]
    times: Mapping[str, int]


def check_comparable(kind: str) -> None:
    """UserError: what is made in this format is no disk that can be opened for comparing."""
    if kind not in COMPARABLE:
        raise UserError(
            f"two builds can't be compared in format {kind}", next_step=f"use one of {', '.join(COMPARABLE)} for that"
        )


def build_again(
    plan: ImagePlan, channels: Sequence[Channel], made: Path, *, cache: Path, progress: Progress
) -> Reproduction:
    """Carry out the plan once more and compare with `made`, which it gave before. Raises what `create_image` raises."""
    with working_directory(cache / "again", "build") as work:
        other = work / f"again.{plan.profile.format}"
        with progress.step("Build it again, with empty caches"):
            create_image(replace(plan, output=other, cached=False), channels, cache=work / "cache", progress=progress)
        return compare_builds(made, other, progress)


def compare_builds(one: Path, two: Path, progress: Progress) -> Reproduction:
    """Compare two images that should be alike. Raises what `open_image` raises."""
    with progress.step("Compare both") as step:
        left, right = _read(one), _read(two)
        paths = changed_paths(left.leaves, right.leaves)
        told = {item.path for item in paths}
        times = tuple(
            path
            for path in sorted(left.times.keys() & right.times.keys())
            if left.times[path] != right.times[path] and path not in told
        )
        found = Reproduction(
            (left.digest, right.digest), left.table == right.table, left.esp == right.esp, paths, times
        )
        step.outcome = "identical" if found.identical else f"{len(paths) + len(times)} paths differ"
        return found


def _read(path: Path) -> _Built:
    with opened_snapshot(ImageReference(path), writable=False, purpose="compare builds") as opened:
        leaves: list[Leaf] = []
        times: dict[str, int] = {}
        for name, root in _roots(opened):
            for leaf in exact_manifest(root):
                full = f"{name}/{leaf.path}"
                if full not in DATED:
                    leaves.append(Leaf(full, leaf.text))
                    times[full] = os.lstat(root / leaf.path).st_mtime_ns
        return _Built(
            digest_of_tree(target_for(opened.tree, opened.tree)),
            _table(opened.image.disk),
            esp_digest(opened.image),
            tuple(leaves),
            # what a deployment makes of /etc has the time at which it was made
            {path: when for path, when in times.items() if path.startswith("tree/")},
        )


def _roots(opened: OpenSnapshot) -> Iterable[tuple[str, Path]]:
    yield "tree", opened.tree
    if opened.deployment is not None:
        yield "etc", opened.store.deployment_path(opened.deployment.number) / "etc"
    yield "state", opened.store.top / "state"


def _table(disk: Path) -> str:
    digest = hashlib.sha256()
    with open(disk, "rb", buffering=0) as stream:
        digest.update(stream.read(_HEAD))
        stream.seek(-_TAIL, os.SEEK_END)
        digest.update(stream.read(_TAIL))
    return digest.hexdigest()
