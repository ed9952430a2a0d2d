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
    from .packages import change_packages, plan_packages
    from .removal import delete, plan_delete
    from .rollback import plan_rollback
    from .session import Session, create_session, create_snapshot
    from .signing import Signer, Trust
    from .store import Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .transfer.archives import Exported, Imported, export_oci, export_tar, import_archive
    from .transfer.have import Have, forget_unfinished, read_have, what_is_there
    from .transfer.receiving import Received, receive, receive_directly, replace_by_stream
    from .transfer.remote import Remote, ask, parse_remote, send_to
    from .transfer.sending import SendItem, SendPlan, plan_send, send, send_to_file, stream_header, stream_of
    from .tree import Node, grow
    from .verify.checking import Damage, SnapshotCheck, check_snapshot
    from .verify.record import Recorded, record, record_missing
    from .verify.repair import Mend, RepairPlan, plan_repair, repair
    from .verify.sealing import quick_problems, recorded_digest, require_unchanged
    from .verify.sources import sources_of

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
        "change_packages",
        "plan_packages",
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
    ),
    "signing": (
        "Signer",
        "Trust",
    ),
    "store": ("Store",),
    "swap": (
        "SwapPlace",
        "changed_tree",
        "opened_place",
        "why_not_swapped",
    ),
    "transfer.archives": (
        "Exported",
        "Imported",
        "export_oci",
        "export_tar",
        "import_archive",
    ),
    "transfer.have": (
        "Have",
        "forget_unfinished",
        "read_have",
        "what_is_there",
    ),
    "transfer.receiving": (
        "Received",
        "receive",
        "receive_directly",
        "replace_by_stream",
    ),
    "transfer.remote": (
        "Remote",
        "ask",
        "parse_remote",
        "send_to",
    ),
    "transfer.sending": (
        "SendItem",
        "SendPlan",
        "plan_send",
        "send",
        "send_to_file",
        "stream_header",
        "stream_of",
    ),
    "tree": (
        "Node",
        "grow",
    ),
    "verify.checking": (
        "Damage",
        "SnapshotCheck",
        "check_snapshot",
    ),
    "verify.record": (
        "Recorded",
        "record",
        "record_missing",
    ),
    "verify.sealing": (
        "quick_problems",
        "recorded_digest",
        "require_unchanged",
    ),
    "verify.repair": (
        "Mend",
        "RepairPlan",
        "plan_repair",
        "repair",
    ),
    "verify.sources": ("sources_of",),
}

__all__ = [
    "BootFiles",
    "Damage",
    "Delta",
    "DeployPlan",
    "Deployment",
    "Difference",
    "Esp",
    "Exported",
    "Have",
    "Imported",
    "Intent",
    "Mend",
    "MountedEsp",
    "MtoolsEsp",
    "Node",
    "Received",
    "Recorded",
    "Remote",
    "RepairPlan",
    "SendItem",
    "SendPlan",
    "Session",
    "Signer",
    "Snapshot",
    "SnapshotCheck",
    "Store",
    "SwapPlace",
    "TreeKernel",
    "Trust",
    "ask",
    "boot_files",
    "change_packages",
    "changed_tree",
    "check_snapshot",
    "create_session",
    "create_snapshot",
    "delete",
    "deploy",
    "difference",
    "export_oci",
    "export_tar",
    "forget_unfinished",
    "grow",
    "import_archive",
    "kernel_release",
    "kernels_in",
    "opened_place",
    "parse_remote",
    "plan_delete",
    "plan_deploy",
    "plan_packages",
    "plan_repair",
    "plan_rollback",
    "plan_send",
    "quick_problems",
    "read_have",
    "receive",
    "receive_directly",
    "record",
    "record_missing",
    "recorded_digest",
    "repair",
    "replace_by_stream",
    "require_unchanged",
    "send",
    "send_to",
    "send_to_file",
    "sources_of",
    "stream_header",
    "stream_of",
    "what_is_there",
    "why_not_swapped",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
