"""Snapshots and deployments: a tree of read-only OS trees, and what makes one of them the next system to boot.

Works on a mounted btrfs top level and an ESP; knows nothing of images or QEMU. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootentry import BootFiles, boot_files
    from .deployment import DeployPlan, deploy, plan_deploy
    from .deployment_checks import Prunable, check_kernel
    from .diff import Difference, difference
    from .esp import Esp, MountedEsp, MtoolsEsp
    from .etc_change import EtcChange, change_etc, plan_push, plan_resolve, plan_restore
    from .etc_files import EtcDifference, EtcState, etc_path, etc_state, text_difference
    from .etc_merge import EtcConflict, EtcMerge
    from .kernels import TreeKernel, kernel_release, kernels_in
    from .metadata import Delta, Deployment, Intent, Snapshot
    from .packages import change_packages, plan_packages
    from .pending import BootState, CancelPlan, KeepPlan, Pending, boot_state, cancel, keep, plan_cancel, plan_keep
    from .removal import delete, plan_delete
    from .rollback import plan_rollback
    from .running import booted_deployment, opened_running
    from .session import Session, create_session, create_snapshot
    from .state_contract import Contract, StatePath, read_contract, read_stamps
    from .state_places import StatePlace
    from .state_written import NewerState, Written, written_versions
    from .store import Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .tree import Node, grow
    from .verdicts import BadMark, bad_snapshots, mark_bad, newest_usable

_HOMES = {
    "bootentry": (
        "BootFiles",
        "boot_files",
    ),
    "deployment": (
        "DeployPlan",
        "deploy",
        "plan_deploy",
    ),
    "deployment_checks": (
        "Prunable",
        "check_kernel",
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
    "etc_change": (
        "EtcChange",
        "change_etc",
        "plan_push",
        "plan_resolve",
        "plan_restore",
    ),
    "etc_files": (
        "EtcDifference",
        "EtcState",
        "etc_path",
        "etc_state",
        "text_difference",
    ),
    "etc_merge": (
        "EtcConflict",
        "EtcMerge",
    ),
    "kernels": ("TreeKernel", "kernel_release", "kernels_in"),
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
    "pending": (
        "BootState",
        "CancelPlan",
        "KeepPlan",
        "Pending",
        "boot_state",
        "cancel",
        "keep",
        "plan_cancel",
        "plan_keep",
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
    "state_contract": (
        "Contract",
        "StatePath",
        "read_contract",
        "read_stamps",
    ),
    "state_places": ("StatePlace",),
    "state_written": (
        "NewerState",
        "Written",
        "written_versions",
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
    "verdicts": (
        "BadMark",
        "bad_snapshots",
        "mark_bad",
        "newest_usable",
    ),
}

__all__ = [
    "BadMark",
    "BootFiles",
    "BootState",
    "CancelPlan",
    "Contract",
    "Delta",
    "DeployPlan",
    "Deployment",
    "Difference",
    "Esp",
    "EtcChange",
    "EtcConflict",
    "EtcDifference",
    "EtcMerge",
    "EtcState",
    "Intent",
    "KeepPlan",
    "MountedEsp",
    "MtoolsEsp",
    "NewerState",
    "Node",
    "Pending",
    "Prunable",
    "Session",
    "Snapshot",
    "StatePath",
    "StatePlace",
    "Store",
    "SwapPlace",
    "TreeKernel",
    "Written",
    "bad_snapshots",
    "boot_files",
    "boot_state",
    "booted_deployment",
    "cancel",
    "change_etc",
    "change_packages",
    "changed_tree",
    "check_kernel",
    "create_session",
    "create_snapshot",
    "delete",
    "deploy",
    "difference",
    "etc_path",
    "etc_state",
    "grow",
    "keep",
    "kernel_release",
    "kernels_in",
    "mark_bad",
    "newest_usable",
    "opened_place",
    "opened_running",
    "plan_cancel",
    "plan_delete",
    "plan_deploy",
    "plan_keep",
    "plan_packages",
    "plan_push",
    "plan_resolve",
    "plan_restore",
    "plan_rollback",
    "read_contract",
    "read_stamps",
    "text_difference",
    "why_not_swapped",
    "written_versions",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
