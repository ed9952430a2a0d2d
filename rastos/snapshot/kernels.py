"""Kernels side by side in one tree, and which of them a deployment boots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.kernel import kernel_facts


@dataclass(frozen=True, slots=True)
class TreeKernel:
    """A kernel of a tree: its release, the package it is from and the profile it was built by ("" where nothing says so)."""

    release: str
    package: str
    profile: str


def kernels_in(tree: Path) -> tuple[TreeKernel, ...]:
    """Every kernel of a tree that has its vmlinuz, the newest release first."""
    modules = tree / "usr/lib/modules"
    if not modules.is_dir():
        return ()
    found = [path.name for path in modules.iterdir() if (path / "vmlinuz").is_file()]
    return tuple(_kernel(tree, release) for release in sorted(found, key=_version_key, reverse=True))


def kernel_release(tree: Path) -> str:
    """The newest kernel release in a tree that has its vmlinuz; "" where there is none."""
    return next((item.release for item in kernels_in(tree)), "")


def choose_kernel(kernels: Sequence[TreeKernel], wanted: str, before: Sequence[TreeKernel]) -> str:
    """The release to boot: the one named `wanted` by release, package or profile; else what was booted before; else the newest.

    `before`: what this snapshot booted the last time, then what boots now; it counts by release, else by package, so that an
    update of that package is followed and another kernel beside it is not. UserError: there is none of that name.
    """
    if wanted:
        for item in kernels:
            if wanted in (item.release, item.package, item.profile):
                return item.release
        known = ", ".join(f"{item.profile or item.package or '?'} ({item.release})" for item in kernels)
        raise UserError(f"the snapshot has no kernel '{wanted}'", next_step=f"it has {known or 'none'}")
    for earlier in before:
        same = [item for item in kernels if item.release == earlier.release]
        same += [item for item in kernels if item.package and item.package == earlier.package]
        if same:
            return same[0].release
    return kernels[0].release if kernels else ""


def _kernel(tree: Path, release: str) -> TreeKernel:
    name = tree / "usr/lib/modules" / release / "pkgbase"
    package = name.read_text(encoding="utf-8", errors="replace").strip() if name.is_file() else ""
    try:
        facts = kernel_facts(tree, release)
    except IntegrityError:
        facts = {}  # damaged: deploy says so
    return TreeKernel(release, package, str(facts.get("profile", "")))


def _version_key(release: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[a-z]+", release)]
