"""`packages.toml`: what a system shall hold, in named sets, under which rules, and the channels it comes from.

    schema = 1
    use = ["server"]                     # the sets that make up the system
    prefer = { awk = "mawk" }            # which package stands in for a virtual name

    [sets.base]
    packages = ["bash", "systemd"]

    [sets.server]
    include = ["base"]
    packages = ["openssh-server", { name = "htop", version = ">=3", reason = "to look" }]

    [channels.extra]
    kind = "pacman"
    server = "https://example.org/$repo/os/$arch"

A flat list (`packages = [...]` at the top) is a valid manifest too: it is the set `default`. `keys` has every key,
docs/manifest.md says what each is for.
"""

from __future__ import annotations

from .keys import near
from .model import (
    DEFAULT_SET,
    ChannelSpec,
    Condition,
    Constraint,
    DeclaredPackage,
    Facts,
    HookSpec,
    Manifest,
    PackageSet,
)
from .reader import load_manifest
from .schema import json_schema

__all__ = [
    "DEFAULT_SET",
    "ChannelSpec",
    "Condition",
    "Constraint",
    "DeclaredPackage",
    "Facts",
    "HookSpec",
    "Manifest",
    "PackageSet",
    "json_schema",
    "load_manifest",
    "near",
]
