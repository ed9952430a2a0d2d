"""Snapshots and deployments: a tree of read-only OS trees, and what makes one of them the next system to boot.

Works on a mounted btrfs top level and an ESP; knows nothing of images or QEMU. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .boot_record import Boot, Verdict, boots, read_boots, verdict
    from .bootentry import BootFiles, boot_files
    from .deployment import DeployPlan, deploy, plan_deploy
    from .diff import Difference, difference
    from .esp import Esp, MountedEsp, MtoolsEsp
    from .kernels import TreeKernel, kernel_release, kernels_in
    from .metadata import Delta, Deployment, Intent, Snapshot
    from .packages import change_packages, plan_packages
    from .removal import delete, plan_delete
    from .rollback import plan_rollback
    from .running import booted_deployment, opened_running
    from .session import Session, create_session, create_snapshot
    from .store import Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .tree import Node, grow

_HOMES = {
    "boot_record": (
        "Boot",
        "Verdict",
        "boots",
        "read_boots",
        "verdict",
    ),
    "bootentry": (
        "BootFiles",
        "boot_files",
    ),
    "deployment": (
        "DeployPlan",
        "deploy",
        "plan_deploy",
    ),
    "diff": (
        "Difference",
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
    "packages": (
        "change_packages",
        "plan_packages",
    ),
    "removal": (
        "delete",
        "plan_delete",
    ),
    "rollback": ("plan_rollback",),
    "running": (
        "booted_deployment",
        "opened_running",
    ),
    "session": (
        "Session",
        "create_session",
        "create_snapshot",
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
        "grow",
    ),
}

__all__ = [
    "Boot",
    "BootFiles",
    "Delta",
    "DeployPlan",
    "Deployment",
    "Difference",
    "Esp",
    "Intent",
    "MountedEsp",
    "MtoolsEsp",
    "Node",
    "Session",
    "Snapshot",
    "Store",
    "SwapPlace",
    "TreeKernel",
    "Verdict",
    "boot_files",
    "booted_deployment",
    "boots",
    "change_packages",
    "changed_tree",
    "create_session",
    "create_snapshot",
    "delete",
    "deploy",
    "difference",
    "grow",
    "kernel_release",
    "kernels_in",
    "opened_place",
    "opened_running",
    "plan_delete",
    "plan_deploy",
    "plan_packages",
    "plan_rollback",
    "read_boots",
    "verdict",
    "why_not_swapped",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
