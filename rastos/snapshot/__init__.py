"""Snapshots and deployments: a tree of read-only OS trees, and what makes one of them the next system to boot.

Works on a mounted btrfs top level and an ESP; knows nothing of images or QEMU. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootentry import BootFiles, boot_files
    from .copies import (
        CopyPlan,
        ReparentPlan,
        copy_snapshots,
        create_snapshot,
        plan_clone_tree,
        plan_copy,
        plan_reparent,
        reparent,
    )
    from .deployment import DeployPlan, deploy, plan_deploy
    from .diff import SECTIONS, Difference, PackageChange, ValueChange, difference
    from .esp import Esp, MountedEsp, MtoolsEsp
    from .kernels import TreeKernel, kernel_release, kernels_in
    from .metadata import Delta, Deployment, Intent, Snapshot
    from .orphans import Finding, examine, mend
    from .packages import change_packages, plan_packages
    from .path_history import PathChange, path_log
    from .protection import booted_snapshot, last_good, marks_of, protected, proven
    from .references import check_name, check_tag, matching
    from .removal import DeletePlan, delete, plan_delete
    from .retention import PrunePlan, Verdict, plan_prune, prune
    from .rollback import plan_rollback
    from .schedule import EXAMPLE, Schedule, parse_schedule
    from .session import Session, create_session
    from .sizes import Sizes, known_sizes, measured_sizes
    from .store import Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .tree import Node, Tree, ancestors, descendants, grow

_HOMES = {
    "bootentry": (
        "BootFiles",
        "boot_files",
    ),
    "copies": (
        "CopyPlan",
        "ReparentPlan",
        "copy_snapshots",
        "create_snapshot",
        "plan_clone_tree",
        "plan_copy",
        "plan_reparent",
        "reparent",
    ),
    "deployment": (
        "DeployPlan",
        "deploy",
        "plan_deploy",
    ),
    "diff": (
        "Difference",
        "PackageChange",
        "SECTIONS",
        "ValueChange",
        "difference",
    ),
    "esp": (
        "Esp",
        "MountedEsp",
        "MtoolsEsp",
    ),
    "kernels": (
        "TreeKernel",
        "kernel_release",
        "kernels_in",
    ),
    "metadata": (
        "Delta",
        "Deployment",
        "Intent",
        "Snapshot",
    ),
    "orphans": (
        "Finding",
        "examine",
        "mend",
    ),
    "packages": (
        "change_packages",
        "plan_packages",
    ),
    "path_history": (
        "PathChange",
        "path_log",
    ),
    "protection": (
        "booted_snapshot",
        "last_good",
        "marks_of",
        "protected",
        "proven",
    ),
    "references": (
        "check_name",
        "check_tag",
        "matching",
    ),
    "removal": (
        "DeletePlan",
        "delete",
        "plan_delete",
    ),
    "retention": (
        "PrunePlan",
        "Verdict",
        "plan_prune",
        "prune",
    ),
    "rollback": ("plan_rollback",),
    "schedule": (
        "EXAMPLE",
        "Schedule",
        "parse_schedule",
    ),
    "session": (
        "Session",
        "create_session",
    ),
    "sizes": (
        "Sizes",
        "known_sizes",
        "measured_sizes",
    ),
    "store": ("Store",),
    "swap": (
        "SwapPlace",
        "changed_tree",
        "opened_place",
        "why_not_swapped",
    ),
    "tree": (
        "Node",
        "Tree",
        "ancestors",
        "descendants",
        "grow",
    ),
}

__all__ = [
    "BootFiles",
    "CopyPlan",
    "DeletePlan",
    "Delta",
    "DeployPlan",
    "Deployment",
    "Difference",
    "EXAMPLE",
    "Esp",
    "Finding",
    "Intent",
    "MountedEsp",
    "MtoolsEsp",
    "Node",
    "PackageChange",
    "PathChange",
    "PrunePlan",
    "ReparentPlan",
    "SECTIONS",
    "Schedule",
    "Session",
    "Sizes",
    "Snapshot",
    "Store",
    "SwapPlace",
    "Tree",
    "TreeKernel",
    "ValueChange",
    "Verdict",
    "ancestors",
    "boot_files",
    "booted_snapshot",
    "change_packages",
    "changed_tree",
    "check_name",
    "check_tag",
    "copy_snapshots",
    "create_session",
    "create_snapshot",
    "delete",
    "deploy",
    "descendants",
    "difference",
    "examine",
    "grow",
    "kernel_release",
    "kernels_in",
    "known_sizes",
    "last_good",
    "marks_of",
    "matching",
    "measured_sizes",
    "mend",
    "opened_place",
    "parse_schedule",
    "path_log",
    "plan_clone_tree",
    "plan_copy",
    "plan_delete",
    "plan_deploy",
    "plan_packages",
    "plan_prune",
    "plan_reparent",
    "plan_rollback",
    "protected",
    "proven",
    "prune",
    "reparent",
    "why_not_swapped",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
