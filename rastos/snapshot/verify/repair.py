"""Mending a snapshot: a copy of it in which every path is as its manifest says takes its place in one step.

The new folder is made as `.new-<id>`, which recovery drops; then it and `<id>` swap names (renameat2(2)), so that at no instant
is the snapshot missing, and what is left under `.new-<id>`, the old one or the half-made new one, is dropped either way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import exchange, faults
from rastos.package import digest_of_leaves, exact_manifest, tree_differences
from rastos.progress import Progress

from .. import subvolume
from ..copying import remove_path
from ..signing import Trust
from ..store import Store
from .checking import signer_of
from .making import hard_link_of, make_path, only_attributes, set_attributes
from .record import SnapshotManifest, read_manifest
from .sealing import SEAL, write_seal
from .sources import Source


@dataclass(frozen=True, slots=True)
class Mend:
    """One path and what is done: `remove` it, set its `attributes`, `make` it anew, or `restore` content from `source`."""

    path: str
    action: str
    text: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What mends a snapshot; `lost`: files whose content is nowhere; `signer` of the manifest or ""."""

    snapshot: int
    mends: tuple[Mend, ...]
    lost: tuple[str, ...]
    signer: str
    digest: str


def plan_repair(store: Store, number: int, sources: Sequence[Source], trust: Trust, progress: Progress) -> RepairPlan:
    """Compare with the manifest and look for what is missing. UserError: there is no manifest to repair by."""
    manifest = _manifest(store, number)
    signer = signer_of(manifest, trust, number)
    mends: list[Mend] = []
    wanted: dict[str, str] = {}
    with progress.step(f"Verifying snapshot {number}") as step:
        damage = tree_differences(manifest.leaves, exact_manifest(store.tree(number)))
        step.outcome = f"{len(damage) or 'nothing'} changed"
    for item in damage:
        if not item.before:
            mends.append(Mend(item.path, "remove"))
        elif only_attributes(item.before, item.after):
            mends.append(Mend(item.path, "attributes", item.before))
        elif not item.before.startswith("file ") or hard_link_of(item.before):
            mends.append(Mend(item.path, "make", item.before))
        else:
            wanted[item.path] = item.before
    for source in sources:
        missing = {path: text.split(" ", 4)[3] for path, text in wanted.items()}
        for path in list(source.find(missing)) if missing else ():
            if path in wanted:
                mends.append(Mend(path, "restore", wanted.pop(path), source.label))
    order = sorted(mends, key=lambda item: (item.action != "remove", item.path))
    return RepairPlan(number, tuple(order), tuple(sorted(wanted)), signer, manifest.digest)


def repair(store: Store, plan: RepairPlan, sources: Sequence[Source], progress: Progress) -> int:
    """Carry a plan out; the number of paths mended. IntegrityError: the result is not what the manifest says."""
    if plan.lost:
        raise IntegrityError(
            f"{len(plan.lost)} files of snapshot {plan.snapshot} are nowhere to be had",
            next_step="name a stream of it: rastos snapshot repair ID --from FILE",
            detail="\n".join(f"/{path}" for path in plan.lost),
        )
    by_label = {source.label: source for source in sources}

    def build(folder: Path) -> None:
        tree = folder / "tree"
        subvolume.snapshot(store.tree(plan.snapshot), tree)
        faults.reached("repair.copied")
        _mend(tree, plan.mends, by_label)
        subvolume.set_read_only(tree, True)

    if plan.mends:
        with progress.step(f"Repairing snapshot {plan.snapshot}") as step:
            replace_tree(store, plan.snapshot, build)
            step.outcome = f"{len(plan.mends)} paths"
    return len(plan.mends)


def replace_tree(store: Store, number: int, build: Callable[[Path], None]) -> None:
    """Give a snapshot the tree that `build` makes in a folder; it has to be what its manifest says, if there is one.

    UserError: the running system is in the old one.
    """
    home = store.snapshot_path(number)
    if os.stat("/").st_dev == os.stat(home / "tree").st_dev:
        raise UserError(f"snapshot {number} is running now", next_step="boot another snapshot, then repair this one")
    manifest = read_manifest(store, number)
    building = store.top / "snapshots" / f".new-{number}"
    building.mkdir()
    faults.reached("repair.started")
    try:
        build(building)
        faults.reached("repair.built")
        if manifest is not None and digest_of_leaves(exact_manifest(building / "tree")) != manifest.digest:
            raise IntegrityError(
                f"the repaired tree of snapshot {number} is not what its manifest says",
                next_step="the snapshot is as it was; name another source: --from",
            )
        for path in home.iterdir():
            if path.is_file() and path.name != SEAL:
                shutil.copy2(path, building / path.name)
            elif path.name != "tree" and subvolume.is_subvolume(path):  # kept with the snapshot, as an /etc may be
                subvolume.snapshot(path, building / path.name, read_only=subvolume.is_read_only(path))
        store.sync()
        if manifest is not None:
            write_seal(building, manifest.digest)
        faults.reached("repair.synced")
        exchange(building, home)
        store.sync()
        faults.reached("repair.exchanged")
    finally:
        subvolume.drop_folder(building)
        store.sync()


def _manifest(store: Store, number: int) -> SnapshotManifest:
    found = read_manifest(store, number)
    if found is None:
        raise UserError(
            f"snapshot {number} has no manifest: nothing says what it was",
            next_step="replace its tree by a stream of it: rastos snapshot repair ID --from FILE",
        )
    return found


def _mend(tree: Path, mends: Sequence[Mend], sources: dict[str, Source]) -> None:
    links = [item for item in mends if hard_link_of(item.text)]
    for item in (*(item for item in mends if item not in links), *links):
        place = tree if item.path == "." else _place(tree, item.path)
        if item.action == "remove":
            remove_path(place)
        elif item.action == "attributes":
            set_attributes(place, item.text)
        elif item.action == "make":
            make_path(tree, place, item.text)
        else:
            remove_path(place)
            if not sources[item.source].fetch(item.path, item.text.split(" ", 4)[3], place):
                raise IntegrityError(f"/{item.path} is no longer in {item.source}", next_step="plan the repair again")
            set_attributes(place, item.text)
    for item in mends:  # a folder that was made before what is in it
        if item.text.startswith("folder "):
            set_attributes(tree if item.path == "." else tree / item.path, item.text)


def _place(tree: Path, path: str) -> Path:
    """Where a path of the manifest is, with its folders there as folders and not as links to somewhere else."""
    folder = tree
    for part in path.split("/")[:-1]:
        folder = folder / part
        if folder.is_symlink() or not folder.is_dir():
            raise IntegrityError("a folder on the way is not one", on=f"/{path}", next_step="replace the whole tree")
    return tree / path
