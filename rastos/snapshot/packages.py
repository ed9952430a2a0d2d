"""Changing the packages of a session: planned against its tree, carried out by libalpm, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rastos.package import (
    Change,
    Channel,
    Manifest,
    Plan,
    Result,
    Target,
    apply_plan,
    plan_change,
    policy_of,
    target_for,
)
from rastos.progress import Progress

from .session import Session


def target_of(session: Session, cache: Path) -> Target:
    """The session's tree as a target of package changes."""
    return target_for(session.tree, cache, immutable=True)


def plan_packages(
    session: Session,
    channels: Sequence[Channel],
    change: Change,
    cache: Path,
    progress: Progress,
    *,
    manifest: Manifest | None = None,
) -> Plan:
    """What a change comes to in this session."""
    return plan_change(target_of(session, cache), channels, change, progress, manifest=manifest)


def change_packages(
    session: Session,
    channels: Sequence[Channel],
    plan: Plan,
    cache: Path,
    progress: Progress,
    *,
    manifest: Manifest | None = None,
    without_kernel: bool = False,
) -> Result:
    """Carry a plan out in the session; an error leaves the session uncommitted and the base untouched.

    UserError where its last kernel would go, unless `without_kernel`.
    """
    policy = replace(policy_of(manifest), without_kernel=without_kernel)
    return apply_plan(target_of(session, cache), channels, plan, progress, policy=policy)
