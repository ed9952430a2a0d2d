"""Changing the packages of a session: planned against a tree, carried out by libalpm, all or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import RastosError
from rastos.package import (
    Change,
    Channel,
    Decide,
    Manifest,
    PackageRecord,
    Plan,
    Result,
    Target,
    apply_plan,
    plan_change,
    policy_of,
    read_local,
    target_for,
)
from rastos.progress import Progress

from .metadata import Intent
from .session import Session

Installed = Mapping[str, PackageRecord]


@dataclass(frozen=True)
class PackageSource:
    """Where packages come from, and what decides about them: the same for every snapshot that is changed."""

    channels: Sequence[Channel]
    cache: Path
    manifest: Manifest | None = None
    decide: Decide | None = None
    offline: bool = False  # the channels' databases were brought up to date a moment ago
    without_kernel: bool = False  # the last kernel of a tree may go


def installed_in(tree: Path, cache: Path) -> dict[str, PackageRecord]:
    """The packages of a tree, by name."""
    return read_local(target_for(tree, cache, immutable=True).database)


def target_of(session: Session, cache: Path) -> Target:
    """The session's tree as a target of package changes."""
    return target_for(session.tree, cache, immutable=True)


def plan_packages(
    tree: Path, source: PackageSource, change: Change, progress: Progress, *, installed: Installed | None = None
) -> Plan:
    """What a change comes to in a tree; `installed`: as if it had these packages. UserError: what stands against it."""
    return plan_change(
        target_for(tree, source.cache, immutable=True),
        source.channels,
        change,
        progress,
        manifest=source.manifest,
        decide=source.decide,
        offline=source.offline,
        installed=installed,
    )


def change_packages(
    session: Session,
    source: PackageSource,
    plan: Plan,
    progress: Progress,
    *,
    intent: Intent | None = None,
) -> Result:
    """Carry a plan out in the session, as one step: after an error or a crash its tree is as it was before.

    UserError where its last kernel would go, unless the source says it may.
    """
    target = target_of(session, source.cache)
    policy = replace(policy_of(source.manifest), without_kernel=source.without_kernel)
    with session.step("change packages", intent or Intent(), undone=True):
        try:
            return apply_plan(target, source.channels, plan, progress, policy=policy)
        except RastosError as error:
            # the copy has no name that would tell anybody something
            error.on = error.on.replace(str(session.tree), "the copy")
            raise
        finally:
            # of a tree that has this place only now: the next one here knows nothing of it
            shutil.rmtree(target.cache / "journal" / target.key, ignore_errors=True)
            (target.cache / "locks" / f"{target.key}.lock").unlink(missing_ok=True)


def after(installed: Installed, plan: Plan) -> dict[str, PackageRecord]:
    """The packages a tree will have once a plan is carried out."""
    gone = {package.name for package in plan.remove}
    left = {name: record for name, record in installed.items() if name not in gone}
    reasons = {package.name: package.reason for package in plan.incoming}
    left |= {
        record.name: replace(record, reason="dependency" if reasons.get(record.name) == "dependency" else "explicit")
        for record in plan.records
    }
    for names, reason in ((plan.explicit, "explicit"), (plan.demote, "dependency")):
        left |= {name: replace(left[name], reason=reason) for name in names if name in left}
    return left


def words_of(plan: Plan) -> str:
    """A plan in a few words: +strace −vim ~3."""
    signs = (("+", plan.install), ("−", plan.remove))
    words = [f"{sign}{package.name}" for sign, packages in signs for package in packages[:4]]
    more = sum(max(len(packages) - 4, 0) for _, packages in signs)
    changed = len(plan.upgrade) + len(plan.downgrade) + len(plan.reinstall)
    return " ".join([*words, *([f"and {more} more"] if more else []), *([f"~{changed}"] if changed else [])])
