"""Packages: what is declared, where it comes from, and the transaction that brings it into a tree through libalpm.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .archive import PackageMetadata, write_package
    from .bundle import Bundle, bundle_channels, bundle_repository, write_bundle
    from .capturing import Capture, capture
    from .changes import PackageChange, differences, planned_changes
    from .channels import Channel, SyncDatabase, Wanted, open_channels
    from .channels.cache import CacheChannel
    from .channels.local import LocalChannel
    from .channels.pacman import PacmanChannel
    from .channels.pacman.keyring import keys_of
    from .channels.signatures import verify_detached
    from .config_files import (
        ConfigFile,
        Merge,
        chosen_config,
        config_content,
        config_difference,
        find_config_files,
        merge_config,
        settle_config,
    )
    from .conflicts import FileConflict, FileConflictError
    from .database import installed_files, open_decompressed, read_local
    from .graph import Branch, Edge, Graph, Orphans, Why
    from .history import History, HistoryEntry, chosen_entry, history_of
    from .keys import export_keys, fingerprint, read_keys, sign_files
    from .layering import Layer, apply_layers, fetch_layers, how_made, layers_of, set_groups
    from .lockfile import LockedFile, LockedPackage, Lockfile, read_lockfile, write_lockfile
    from .locking import Drift, drift, make_lock, plan_locked, stale
    from .manifest import ChannelSpec, DeclaredPackage, Facts, Manifest, PackageSet, json_schema, load_manifest
    from .manifest.edit import Edit, add_packages, remove_packages, save
    from .origins import Origin, read_origins
    from .ownership import Owner, files, owners
    from .package_cache import Cleaning, clean, plan_cleaning
    from .plan import Change, Plan, PlannedPackage, shown_version
    from .planned_paths import PackagePaths, package_paths
    from .planning import Decide, load_indexes, plan_change
    from .policy import ManifestHook, TransactionPolicy, policy_of
    from .queries import InstalledPackage, PackageInfo, info, installed, search
    from .records import PackageRecord
    from .relations import Dependency, satisfies
    from .repository import LocalPackage, LocalRepository, package_record
    from .repository_server import serving
    from .resolve import Question
    from .target import Target, target_for
    from .text_merge import MergedText, merge_text
    from .transaction import Result, apply_plan
    from .tree_digest import (
        Difference,
        Leaf,
        digest_of_leaves,
        digest_of_tree,
        exact_manifest,
        exact_text,
        manifest_of_tree,
        tree_differences,
    )
    from .trust import ChannelKey, channel_keys, refresh_keys, with_keys
    from .undo import Undo, plan_undo
    from .verification import Finding, Verification, altered_packages, verify


_HOMES = {
    "channels.local": ("LocalChannel",),
    "channels.pacman": ("PacmanChannel",),
    "keys": ("export_keys", "fingerprint", "read_keys", "sign_files"),
    "channels.signatures": ("verify_detached",),
    "channels.pacman.keyring": ("keys_of",),
    "repository_server": ("serving",),
    "archive": (
        "PackageMetadata",
        "write_package",
    ),
    "bundle": (
        "Bundle",
        "bundle_channels",
        "bundle_repository",
        "write_bundle",
    ),
    "capturing": (
        "Capture",
        "capture",
    ),
    "changes": (
        "PackageChange",
        "differences",
        "planned_changes",
    ),
    "channels": (
        "Channel",
        "SyncDatabase",
        "Wanted",
        "open_channels",
    ),
    "channels.cache": ("CacheChannel",),
    "config_files": (
        "ConfigFile",
        "Merge",
        "chosen_config",
        "config_content",
        "config_difference",
        "find_config_files",
        "merge_config",
        "settle_config",
    ),
    "conflicts": (
        "FileConflict",
        "FileConflictError",
    ),
    "database": (
        "installed_files",
        "open_decompressed",
        "read_local",
    ),
    "graph": (
        "Branch",
        "Edge",
        "Graph",
        "Orphans",
        "Why",
    ),
    "history": (
        "History",
        "HistoryEntry",
        "chosen_entry",
        "history_of",
    ),
    "layering": ("Layer", "apply_layers", "fetch_layers", "how_made", "layers_of", "set_groups"),
    "lockfile": (
        "LockedFile",
        "LockedPackage",
        "Lockfile",
        "read_lockfile",
        "write_lockfile",
    ),
    "locking": (
        "Drift",
        "drift",
        "make_lock",
        "plan_locked",
        "stale",
    ),
    "manifest": (
        "ChannelSpec",
        "DeclaredPackage",
        "Facts",
        "Manifest",
        "PackageSet",
        "json_schema",
        "load_manifest",
    ),
    "manifest.edit": (
        "Edit",
        "add_packages",
        "remove_packages",
        "save",
    ),
    "origins": (
        "Origin",
        "read_origins",
    ),
    "ownership": (
        "Owner",
        "files",
        "owners",
    ),
    "package_cache": (
        "Cleaning",
        "clean",
        "plan_cleaning",
    ),
    "planned_paths": (
        "PackagePaths",
        "package_paths",
    ),
    "plan": (
        "Change",
        "Plan",
        "PlannedPackage",
        "shown_version",
    ),
    "planning": (
        "Decide",
        "load_indexes",
        "plan_change",
    ),
    "policy": (
        "ManifestHook",
        "TransactionPolicy",
        "policy_of",
    ),
    "queries": (
        "InstalledPackage",
        "PackageInfo",
        "info",
        "installed",
        "installed_files",
        "search",
    ),
    "records": ("PackageRecord",),
    "relations": (
        "Dependency",
        "satisfies",
    ),
    "repository": ("LocalPackage", "LocalRepository", "package_record"),
    "resolve": ("Question",),
    "target": (
        "Target",
        "target_for",
    ),
    "text_merge": ("MergedText", "merge_text"),
    "transaction": (
        "Result",
        "apply_plan",
    ),
    "tree_digest": (
        "Difference",
        "Leaf",
        "digest_of_leaves",
        "digest_of_tree",
        "exact_manifest",
        "exact_text",
        "manifest_of_tree",
        "tree_differences",
    ),
    "trust": ("ChannelKey", "channel_keys", "refresh_keys", "with_keys"),
    "undo": (
        "Undo",
        "plan_undo",
    ),
    "verification": (
        "Finding",
        "Verification",
        "altered_packages",
        "verify",
    ),
}

__all__ = [
    "Branch",
    "Bundle",
    "CacheChannel",
    "Capture",
    "Change",
    "Channel",
    "ChannelKey",
    "ChannelSpec",
    "Cleaning",
    "ConfigFile",
    "Decide",
    "DeclaredPackage",
    "Dependency",
    "Difference",
    "Drift",
    "Edge",
    "Edit",
    "Facts",
    "FileConflict",
    "FileConflictError",
    "Finding",
    "Graph",
    "History",
    "HistoryEntry",
    "InstalledPackage",
    "Layer",
    "Leaf",
    "LocalChannel",
    "LocalPackage",
    "LocalRepository",
    "LockedFile",
    "LockedPackage",
    "Lockfile",
    "Manifest",
    "ManifestHook",
    "Merge",
    "MergedText",
    "Origin",
    "Orphans",
    "Owner",
    "PackageChange",
    "PackageInfo",
    "PackageMetadata",
    "PackagePaths",
    "PackageRecord",
    "PackageSet",
    "PacmanChannel",
    "Plan",
    "PlannedPackage",
    "Question",
    "Result",
    "SyncDatabase",
    "Target",
    "TransactionPolicy",
    "Undo",
    "Verification",
    "Wanted",
    "Why",
    "add_packages",
    "altered_packages",
    "apply_layers",
    "apply_plan",
    "bundle_channels",
    "bundle_repository",
    "capture",
    "channel_keys",
    "chosen_config",
    "chosen_entry",
    "clean",
    "config_content",
    "config_difference",
    "differences",
    "digest_of_leaves",
    "digest_of_tree",
    "drift",
    "exact_manifest",
    "exact_text",
    "export_keys",
    "fetch_layers",
    "files",
    "find_config_files",
    "fingerprint",
    "history_of",
    "how_made",
    "info",
    "installed",
    "installed_files",
    "json_schema",
    "keys_of",
    "layers_of",
    "load_indexes",
    "load_manifest",
    "make_lock",
    "manifest_of_tree",
    "merge_config",
    "merge_text",
    "open_channels",
    "open_decompressed",
    "owners",
    "package_paths",
    "package_record",
    "plan_change",
    "plan_cleaning",
    "plan_locked",
    "plan_undo",
    "planned_changes",
    "policy_of",
    "read_keys",
    "read_local",
    "read_lockfile",
    "read_origins",
    "refresh_keys",
    "remove_packages",
    "satisfies",
    "save",
    "search",
    "serving",
    "set_groups",
    "settle_config",
    "shown_version",
    "sign_files",
    "stale",
    "target_for",
    "tree_differences",
    "verify",
    "verify_detached",
    "with_keys",
    "write_bundle",
    "write_lockfile",
    "write_package",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
