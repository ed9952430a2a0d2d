"""Snapshots and deployments: a tree of read-only OS trees, and what makes one of them the next system to boot.

Works on a mounted btrfs top level and an ESP; knows nothing of images or QEMU. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .bootentry import BootFiles, boot_files
    from .deployment import DeployPlan, deploy, plan_deploy
    from .diff import Difference, difference
    from .esp import Esp, MountedEsp, MtoolsEsp
    from .kernels import TreeKernel, kernel_release, kernels_in
    from .metadata import Delta, Deployment, Intent, Snapshot
    from .packages import PackageSource, change_packages, plan_packages, words_of
    from .rebase import plan_rebase, plan_sync
    from .rebase_files import session_files
    from .recursive import NodeChange, NodeResult, TreeChange, change_many, plan_recursive
    from .removal import delete, plan_delete
    from .rollback import plan_rollback
    from .session import Session, create_session, create_snapshot, discard_session, open_session
    from .session_programs import run_in_session, shell_in_session
    from .session_publish import check_name
    from .session_record import SessionRecord, check_session_name, kept_session, kept_sessions
    from .store import Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .tree import Node, grow

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
        "PackageSource",
        "change_packages",
        "plan_packages",
        "words_of",
    ),
    "rebase": (
        "plan_rebase",
        "plan_sync",
    ),
    "rebase_files": ("session_files",),
    "recursive": (
        "NodeChange",
        "NodeResult",
        "TreeChange",
        "change_many",
        "plan_recursive",
    ),
    "removal": (
        "delete",
        "plan_delete",
    ),
    "rollback": ("plan_rollback",),
    "session": (
        "Session",
        "create_session",
        "create_snapshot",
        "discard_session",
        "open_session",
    ),
    "session_programs": (
        "run_in_session",
        "shell_in_session",
    ),
    "session_publish": ("check_name",),
    "session_record": (
        "SessionRecord",
        "check_session_name",
        "kept_session",
        "kept_sessions",
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
    "NodeChange",
    "NodeResult",
    "PackageSource",
    "Session",
    "SessionRecord",
    "Snapshot",
    "Store",
    "SwapPlace",
    "TreeChange",
    "TreeKernel",
    "boot_files",
    "change_many",
    "change_packages",
    "changed_tree",
    "check_name",
    "check_session_name",
    "create_session",
    "create_snapshot",
    "delete",
    "deploy",
    "difference",
    "discard_session",
    "grow",
    "kept_session",
    "kept_sessions",
    "kernel_release",
    "kernels_in",
    "open_session",
    "opened_place",
    "plan_delete",
    "plan_deploy",
    "plan_packages",
    "plan_rebase",
    "plan_recursive",
    "plan_rollback",
    "plan_sync",
    "run_in_session",
    "session_files",
    "shell_in_session",
    "why_not_swapped",
    "words_of",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
