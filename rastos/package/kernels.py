"""Kernels are packages that a tree needs to boot: the last one, and the one that runs, go only when somebody says so."""

from __future__ import annotations

import os
import platform
import re

from rastos.errors import UserError

from .database import installed_files, read_local
from .plan import Plan
from .policy import TransactionPolicy
from .relations import parse_dependency
from .target import Target

# Arch's layout, and Debian's
_IMAGE = re.compile(r"(?:usr/)?lib/modules/(?P<release>[^/]+)/vmlinuz|boot/vmlinuz-(?P<debian>[^/]+)")


def check_kernels(target: Target, plan: Plan, policy: TransactionPolicy) -> None:
    """UserError: the running kernel or the last one of the tree would be removed, and nothing takes its place."""
    if policy.without_kernel or not plan.remove:
        return
    installed = read_local(target.database)
    going = {
        release: package.name
        for package in plan.remove
        if package.name in installed
        for release in releases_of(installed_files(target.database, installed[package.name]))
    }
    if not going:
        return
    names = ", ".join(dict.fromkeys(going.values()))
    if os.path.realpath(target.root) == "/" and platform.release() in going:
        raise UserError(
            f"{going[platform.release()]} is the kernel that runs: its modules could not be loaded any more",
            on=target.root,
            next_step="boot another kernel first, or say that it may go: --without-kernel; nothing was changed",
        )
    there = {path.parent.name for path in (target.root / "usr/lib/modules").glob("*/vmlinuz")}
    there |= {path.name.removeprefix("vmlinuz-") for path in (target.root / "boot").glob("vmlinuz-*")}
    brought = [record.name for record in plan.records if _brings_kernel(record.name, record.provides)]
    if not there - going.keys() and not brought:
        raise UserError(
            f"{names} is the only kernel here: nothing would be left to boot",
            on=target.root,
            next_step="install another one with it, or say that it may go: --without-kernel; nothing was changed",
        )


def releases_of(files: tuple[str, ...]) -> tuple[str, ...]:
    """The kernels among the files of a package, by release."""
    found = (_IMAGE.fullmatch(path) for path in files)
    return tuple(item["release"] or item["debian"] for item in found if item)


def _brings_kernel(name: str, provides: tuple[str, ...]) -> bool:
    return name == "linux" or any(parse_dependency(text).name == "linux" for text in provides)
