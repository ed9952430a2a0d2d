"""The host: the only place that runs programs, mounts, attaches loops, locks, downloads and keeps the journal.

The surface is loaded lazily, except `run`: the function has its module's name, and the first import decides which of the
two `rastos.host.run` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.host.run import Completed, Popen, find_program, require_programs, run, spawn
from rastos.surface import first_use

if TYPE_CHECKING:
    from rastos.host.capabilities import Finding, available_memory, survey
    from rastos.host.conversation import converse
    from rastos.host.detach import detached
    from rastos.host.download import Request, Transfer, Validators, fetch, fetch_all, fetch_if_changed
    from rastos.host.files import (
        copy_file,
        digest_of,
        exchange,
        read_json,
        rename_durable,
        safe_join,
        sha256_file,
        sync_directory,
        working_directory,
        write_atomic,
        write_json,
    )
    from rastos.host.journal import Intent, Journal
    from rastos.host.lock import locked
    from rastos.host.loop import attached
    from rastos.host.mounts import bound, mount_points, mounted, overlaid, run_in_root, system_mounts
    from rastos.host.namespace import private_mounts
    from rastos.host.private_folder import in_memory
    from rastos.host.privilege import Privilege, require_root
    from rastos.host.pseudoterminal import interact_in_root
    from rastos.host.sparse import copy_extents, data_extents
    from rastos.host.system_package_list import SystemPackage, distribution, how_to_install, system_packages
    from rastos.host.whole_disk import announce_partitions, claimed_disk, clear_ranges, disk_size

_HOMES = {
    "capabilities": ("Finding", "available_memory", "survey"),
    "conversation": ("converse",),
    "detach": ("detached",),
    "download": ("Request", "Transfer", "Validators", "fetch", "fetch_all", "fetch_if_changed"),
    "files": (
        "copy_file",
        "digest_of",
        "exchange",
        "read_json",
        "rename_durable",
        "safe_join",
        "sha256_file",
        "sync_directory",
        "working_directory",
        "write_atomic",
        "write_json",
    ),
    "journal": ("Intent", "Journal"),
    "lock": ("locked",),
    "loop": ("attached",),
    "mounts": ("bound", "mount_points", "mounted", "overlaid", "run_in_root", "system_mounts"),
    "namespace": ("private_mounts",),
    "private_folder": ("in_memory",),
    "privilege": ("Privilege", "require_root"),
    "pseudoterminal": ("interact_in_root",),
    "sparse": ("copy_extents", "data_extents"),
    "system_package_list": ("SystemPackage", "distribution", "how_to_install", "system_packages"),
    "whole_disk": ("announce_partitions", "claimed_disk", "clear_ranges", "disk_size"),
}

__all__ = [
    "Completed",
    "Finding",
    "Intent",
    "Journal",
    "Popen",
    "Privilege",
    "Request",
    "SystemPackage",
    "Transfer",
    "Validators",
    "announce_partitions",
    "attached",
    "available_memory",
    "bound",
    "claimed_disk",
    "clear_ranges",
    "converse",
    "copy_extents",
    "copy_file",
    "data_extents",
    "detached",
    "digest_of",
    "disk_size",
    "distribution",
    "exchange",
    "fetch",
    "fetch_all",
    "fetch_if_changed",
    "find_program",
    "how_to_install",
    "in_memory",
    "interact_in_root",
    "locked",
    "mount_points",
    "mounted",
    "overlaid",
    "private_mounts",
    "read_json",
    "rename_durable",
    "require_programs",
    "require_root",
    "run",
    "run_in_root",
    "safe_join",
    "sha256_file",
    "spawn",
    "survey",
    "sync_directory",
    "system_mounts",
    "system_packages",
    "working_directory",
    "write_atomic",
    "write_json",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
