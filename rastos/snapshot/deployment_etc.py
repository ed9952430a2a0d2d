"""The /etc of a deployment: made as planned, in a subvolume that nothing uses yet, and looked at again before it counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.errors import UserError
from rastos.host import write_atomic, write_json

from . import subvolume
from .copying import copy_attributes, copy_missing
from .etc_apply import apply_merge, copy_whole, make_parents, note_conflicts, open_conflicts, own_folder
from .etc_merge import EtcConflict, EtcMerge, plan_etc
from .etc_policy import Policy, read_policy
from .etc_tree import fingerprint, read_tree
from .metadata import Deployment
from .store import Store

if TYPE_CHECKING:
    from .deployment import DeployPlan


def planned_merge(
    store: Store, current: Deployment, snapshot: int, decided: Mapping[str, str] | None = None
) -> EtcMerge:
    """The merge of the current deployment's /etc into what a snapshot brings."""
    ours = store.deployment_path(current.number) / "etc"
    return _merge(store, current.snapshot, ours, snapshot, decided or {})


def _merge(store: Store, base: int, ours: Path, snapshot: int, decided: Mapping[str, str]) -> EtcMerge:
    if base == snapshot:
        return EtcMerge(seen=fingerprint(ours))
    tree = store.tree(snapshot)
    policy = read_policy(ours, tree, decided)
    return plan_etc(store.tree(base) / "etc", ours, tree / "etc", policy=policy, tree=tree)


def build_etc(store: Store, plan: DeployPlan, deployment: Deployment, folder: Path) -> None:
    """Make `folder`/etc and the deployment's record. Raises UserError where /etc changed since it was planned."""
    target = folder / "etc"
    tree = store.tree(plan.snapshot)
    if plan.etc == "new":
        subvolume.create(target)
        copy_missing(tree / "etc", target)
        copy_attributes(tree / "etc", target)
    else:
        subvolume.snapshot(store.top / plan.etc_place, target)
    conflicts = open_conflicts(target)
    if plan.etc == "merge" and plan.based_on is not None:
        base = store.deployment(plan.based_on).snapshot
        merge = _as_planned(store, plan, base, target)
        apply_merge(merge, target, tree / "etc")
        fresh = tuple(EtcConflict(item.path, item.why, item.beside, base, plan.snapshot) for item in merge.details)
        paths = {item.path for item in fresh}
        conflicts = (*(item for item in conflicts if item.path not in paths), *fresh)
    elif plan.based_on is not None:
        source = store.deployment_path(plan.based_on) / "etc"
        _keep_identity(source, target, read_policy(source, tree))
    note_conflicts(target, conflicts)
    _describe(target, deployment)
    write_json(folder / "deployment.json", deployment.to_json())


def _as_planned(store: Store, plan: DeployPlan, base: int, target: Path) -> EtcMerge:
    """The merge that was shown; made again where /etc has changed since, and refused where that shows new conflicts."""
    if fingerprint(target) == plan.merge.seen:
        return plan.merge
    again = _merge(store, base, target, plan.snapshot, dict(plan.decided))
    fresh = sorted({*again.conflicts, *again.asked} - set(plan.merge.conflicts))
    if fresh:
        raise UserError(
            f"/etc was changed while this was being deployed, and now {', '.join(fresh)} can't be merged",
            next_step="nothing was deployed; run the command again to see the new plan",
        )
    return again


def _keep_identity(source: Path, target: Path, policy: Policy) -> None:
    """Who this machine is stays, whichever /etc it gets."""
    for path, item in sorted(read_tree(source).items()):
        if not item.folder and policy.way(path) == "identity" and make_parents(target, path, source):
            copy_whole(source / path, target / path)


def fstab_after(store: Store, way: str, etc_place: str, merge: EtcMerge, snapshot: int) -> str:
    """What fstab will say, before the new /etc is made."""
    tree = store.tree(snapshot) / "etc"
    place = store.top / etc_place
    if way == "merge":
        for item in merge.mixed:
            if item.path == "fstab" and item.text is not None:
                return item.text
            if item.path == "fstab" and item.source == "theirs":
                place = tree
        if "fstab" in merge.take:
            place = tree
        if "fstab" in merge.remove:
            return ""
    found = place / "fstab"
    return found.read_text(errors="replace") if found.is_file() and not found.is_symlink() else ""


def _describe(etc: Path, deployment: Deployment) -> None:
    """What the running system knows about itself."""
    words = f"snapshot {deployment.snapshot}" + (f": {deployment.description}" if deployment.description else "")
    known = {
        "deployment": deployment.number,
        "snapshot": deployment.snapshot,
        "description": deployment.description,
        "kernel": deployment.kernel,
        "created": deployment.created,
    }
    write_json(own_folder(etc, "rastos") / "deployment.json", known)
    # agetty(8) expands backslashes in issue files
    text = words.replace("\\", "\\\\")
    write_atomic(own_folder(etc, "issue.d") / "rastos.issue", f"rastOS deployment {deployment.number}, {text}\n\n")


def say_updated(store: Store, snapshot: int, etc: Path) -> None:
    """systemd-update-done.service(8): /etc and /var are as new as /usr; what would bring them up to date ran already."""
    status = (store.tree(snapshot) / "usr").stat()
    for folder in (etc, store.top / "state/var"):
        place = folder / ".updated"
        if place.is_symlink():
            place.unlink()
        place.write_text(f"TIMESTAMP_NSEC={status.st_mtime_ns}\n")
        os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))
