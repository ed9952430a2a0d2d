"""Snapshots and deployments: a tree of read-only OS trees, and what makes one of them the next system to boot.

Works on a mounted btrfs top level and an ESP; knows nothing of images or QEMU. Names are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .boot_record import Boot, BootVerdict, boots, read_boots, verdict
    from .bootentry import BootFiles, boot_entries, boot_files
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
    from .deployment_checks import Prunable, check_kernel
    from .diff import SECTIONS, Difference, PackageChange, ValueChange, difference, services
    from .esp import Esp, MountedEsp, MtoolsEsp
    from .etc_change import EtcChange, change_etc, plan_push, plan_resolve, plan_restore
    from .etc_files import EtcDifference, EtcState, etc_path, etc_state, text_difference
    from .etc_merge import EtcConflict, EtcMerge
    from .foreign import copy_foreign, drop_foreign, drop_store, fill_state, foreign_subvolumes, is_foreign_root
    from .kernels import TreeKernel, kernel_release, kernels_in
    from .layered import LayeredTree, release_space
    from .metadata import Delta, Deployment, Intent, Snapshot
    from .orphans import Finding, examine, mend
    from .packages import PackageSource, change_packages, plan_packages, words_of
    from .path_history import PathChange, path_log
    from .pending import BootState, CancelPlan, KeepPlan, Pending, boot_state, cancel, keep, plan_cancel, plan_keep
    from .protection import booted_snapshot, last_good, marks_of, protected, proven
    from .rebase import plan_rebase, plan_sync
    from .rebase_files import session_files
    from .recursive import NodeChange, NodeResult, TreeChange, change_many, drop_old, plan_recursive
    from .references import check_name, check_tag, matching
    from .removal import DeletePlan, delete, plan_delete
    from .retention import PrunePlan, Verdict, plan_prune, prune
    from .rollback import plan_rollback
    from .running import booted_deployment, opened_running
    from .schedule import EXAMPLE, Schedule, parse_schedule
    from .session import Session, create_session, discard_session, open_session
    from .session_programs import run_in_session, shell_in_session
    from .session_record import SessionRecord, check_session_name, kept_session, kept_sessions
    from .signing import Signer, Trust
    from .sizes import Sizes, known_sizes, measured_sizes
    from .state_contract import Contract, StatePath, read_contract, read_stamps
    from .state_places import StatePlace
    from .state_shown import StampShown, StateReport, StateShown, state_report
    from .state_written import NewerState, Written, written_versions
    from .store import STATE, Store
    from .swap import SwapPlace, changed_tree, opened_place, why_not_swapped
    from .transfer.archives import Exported, Imported, export_oci, export_tar, import_archive
    from .transfer.have import Have, forget_unfinished, read_have, what_is_there
    from .transfer.receiving import Received, receive, receive_directly, replace_by_stream
    from .transfer.remote import Remote, ask, parse_remote, send_to
    from .transfer.sending import (
        SendItem,
        SendPlan,
        compressed_streams,
        plan_send,
        send,
        send_to_file,
        stream_header,
        stream_of,
    )
    from .tree import Node, Tree, ancestors, descendants, grow
    from .verdicts import BadMark, bad_snapshots, mark_bad, newest_usable
    from .verify.checking import Damage, SnapshotCheck, check_snapshot
    from .verify.record import Recorded, record, record_missing
    from .verify.repair import Mend, RepairPlan, plan_repair, repair
    from .verify.sealing import quick_problems, recorded_digest, require_unchanged
    from .verify.sources import sources_of

# fmt: off
_HOMES = {
    "boot_record": ("Boot", "BootVerdict", "boots", "read_boots", "verdict"),
    "bootentry": ("BootFiles", "boot_entries", "boot_files"),
    "copies": (
        "CopyPlan", "ReparentPlan", "copy_snapshots", "create_snapshot", "plan_clone_tree", "plan_copy",
        "plan_reparent", "reparent",
    ),
    "deployment": ("DeployPlan", "deploy", "plan_deploy"),
    "deployment_checks": ("Prunable", "check_kernel"),
    "diff": ("Difference", "PackageChange", "SECTIONS", "ValueChange", "difference", "services"),
    "esp": ("Esp", "MountedEsp", "MtoolsEsp"),
    "etc_change": ("EtcChange", "change_etc", "plan_push", "plan_resolve", "plan_restore"),
    "etc_files": ("EtcDifference", "EtcState", "etc_path", "etc_state", "text_difference"),
    "etc_merge": ("EtcConflict", "EtcMerge"),
    "foreign": (
        "copy_foreign", "drop_foreign", "drop_store", "fill_state", "foreign_subvolumes", "is_foreign_root",
    ),
    "kernels": ("TreeKernel", "kernel_release", "kernels_in"),
    "layered": ("LayeredTree", "release_space"),
    "metadata": ("Delta", "Deployment", "Intent", "Snapshot"),
    "orphans": ("Finding", "examine", "mend"),
    "packages": ("PackageSource", "change_packages", "plan_packages", "words_of"),
    "path_history": ("PathChange", "path_log"),
    "pending": (
        "BootState", "CancelPlan", "KeepPlan", "Pending", "boot_state", "cancel", "keep", "plan_cancel", "plan_keep",
    ),
    "protection": ("booted_snapshot", "last_good", "marks_of", "protected", "proven"),
    "rebase": ("plan_rebase", "plan_sync"),
    "rebase_files": ("session_files",),
    "recursive": ("NodeChange", "NodeResult", "TreeChange", "change_many", "drop_old", "plan_recursive"),
    "references": ("check_name", "check_tag", "matching"),
    "removal": ("DeletePlan", "delete", "plan_delete"),
    "retention": ("PrunePlan", "Verdict", "plan_prune", "prune"),
    "rollback": ("plan_rollback",),
    "running": ("booted_deployment", "opened_running"),
    "schedule": ("EXAMPLE", "Schedule", "parse_schedule"),
    "session": ("Session", "create_session", "discard_session", "open_session"),
    "session_programs": ("run_in_session", "shell_in_session"),
    "session_record": ("SessionRecord", "check_session_name", "kept_session", "kept_sessions"),
    "signing": ("Signer", "Trust"),
    "sizes": ("Sizes", "known_sizes", "measured_sizes"),
    "state_contract": ("Contract", "StatePath", "read_contract", "read_stamps"),
    "state_places": ("StatePlace",),
    "state_shown": ("StampShown", "StateReport", "StateShown", "state_report"),
    "state_written": ("NewerState", "Written", "written_versions"),
    "store": ("STATE", "Store"),
    "swap": ("SwapPlace", "changed_tree", "opened_place", "why_not_swapped"),
    "transfer.archives": ("Exported", "Imported", "export_oci", "export_tar", "import_archive"),
    "transfer.have": ("Have", "forget_unfinished", "read_have", "what_is_there"),
    "transfer.receiving": ("Received", "receive", "receive_directly", "replace_by_stream"),
    "transfer.remote": ("Remote", "ask", "parse_remote", "send_to"),
    "transfer.sending": (
        "SendItem", "SendPlan", "compressed_streams", "plan_send", "send", "send_to_file", "stream_header", "stream_of",
    ),
    "tree": ("Node", "Tree", "ancestors", "descendants", "grow"),
    "verdicts": ("BadMark", "bad_snapshots", "mark_bad", "newest_usable"),
    "verify.checking": ("Damage", "SnapshotCheck", "check_snapshot"),
    "verify.record": ("Recorded", "record", "record_missing"),
    "verify.repair": ("Mend", "RepairPlan", "plan_repair", "repair"),
    "verify.sealing": ("quick_problems", "recorded_digest", "require_unchanged"),
    "verify.sources": ("sources_of",),
}

__all__ = [
    "BadMark", "Boot", "BootFiles", "BootState", "BootVerdict", "CancelPlan", "Contract", "CopyPlan", "Damage",
    "DeletePlan", "Delta", "DeployPlan", "Deployment", "Difference", "EXAMPLE", "Esp", "EtcChange", "EtcConflict",
    "EtcDifference", "EtcMerge", "EtcState", "Exported", "Finding", "Have", "Imported", "Intent", "KeepPlan",
    "LayeredTree", "Mend", "MountedEsp", "MtoolsEsp", "NewerState", "Node", "NodeChange", "NodeResult",
    "PackageChange", "PackageSource", "PathChange", "Pending", "Prunable", "PrunePlan", "Received", "Recorded",
    "Remote", "RepairPlan", "ReparentPlan", "SECTIONS", "STATE", "Schedule", "SendItem", "SendPlan", "Session",
    "SessionRecord", "Signer", "Sizes", "Snapshot", "SnapshotCheck", "StampShown", "StatePath", "StatePlace",
    "StateReport", "StateShown", "Store", "SwapPlace", "Tree", "TreeChange", "TreeKernel", "Trust", "ValueChange",
    "Verdict", "Written", "ancestors", "ask", "bad_snapshots", "boot_entries", "boot_files", "boot_state",
    "booted_deployment", "booted_snapshot", "boots", "cancel", "change_etc", "change_many", "change_packages",
    "changed_tree", "check_kernel", "check_name", "check_session_name", "check_snapshot", "check_tag",
    "compressed_streams", "copy_foreign", "copy_snapshots", "create_session", "create_snapshot", "delete", "deploy",
    "descendants", "difference", "discard_session", "drop_foreign", "drop_old", "drop_store", "etc_path",
    "etc_state", "examine", "export_oci", "export_tar", "fill_state", "foreign_subvolumes", "forget_unfinished",
    "grow", "import_archive", "is_foreign_root", "keep", "kept_session", "kept_sessions", "kernel_release",
    "kernels_in", "known_sizes", "last_good", "mark_bad", "marks_of", "matching", "measured_sizes", "mend",
    "newest_usable", "open_session", "opened_place", "opened_running", "parse_remote", "parse_schedule", "path_log",
    "plan_cancel", "plan_clone_tree", "plan_copy", "plan_delete", "plan_deploy", "plan_keep", "plan_packages",
    "plan_prune", "plan_push", "plan_rebase", "plan_recursive", "plan_repair", "plan_reparent", "plan_resolve",
    "plan_restore", "plan_rollback", "plan_send", "plan_sync", "protected", "proven", "prune", "quick_problems",
    "read_boots", "read_contract", "read_have", "read_stamps", "receive", "receive_directly", "record",
    "record_missing", "recorded_digest", "release_space", "repair", "reparent", "replace_by_stream",
    "require_unchanged", "run_in_session", "send", "send_to", "send_to_file", "services", "session_files",
    "shell_in_session", "sources_of", "state_report", "stream_header", "stream_of", "text_difference", "verdict",
    "what_is_there", "why_not_swapped", "words_of", "written_versions",
]
# fmt: on


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
