"""Packages: what is declared, where it comes from, and the transaction that brings it into a tree through libalpm.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archive import PackageMetadata, write_package
    from .channels import Channel, SyncDatabase, Wanted, open_channels
    from .manifest import ChannelSpec, Manifest, PackageSet, load_manifest
    from .plan import Change, Plan, PlannedPackage, plan_change, plan_manifest
    from .queries import InstalledPackage, PackageInfo, info, installed, search
    from .repository import LocalPackage, LocalRepository
    from .target import Target, target_for
    from .transaction import Result, apply_plan
    from .trust import ChannelKey, channel_keys, refresh_keys

_HOMES = {
    "archive": ("PackageMetadata", "write_package"),
    "channels": ("Channel", "SyncDatabase", "Wanted", "open_channels"),
    "manifest": ("ChannelSpec", "Manifest", "PackageSet", "load_manifest"),
    "plan": ("Change", "Plan", "PlannedPackage", "plan_change", "plan_manifest"),
    "queries": ("InstalledPackage", "PackageInfo", "info", "installed", "search"),
    "repository": ("LocalPackage", "LocalRepository"),
    "target": ("Target", "target_for"),
    "transaction": ("Result", "apply_plan"),
    "trust": ("ChannelKey", "channel_keys", "refresh_keys"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Change",
    "Channel",
    "ChannelKey",
    "ChannelSpec",
    "InstalledPackage",
    "LocalPackage",
    "LocalRepository",
    "Manifest",
    "PackageInfo",
    "PackageMetadata",
    "PackageSet",
    "Plan",
    "PlannedPackage",
    "Result",
    "SyncDatabase",
    "Target",
    "Wanted",
    "apply_plan",
    "channel_keys",
    "info",
    "installed",
    "load_manifest",
    "open_channels",
    "plan_change",
    "plan_manifest",
    "refresh_keys",
    "search",
    "target_for",
    "write_package",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
