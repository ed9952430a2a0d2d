"""Carrying out a plan: fetch, libalpm in its child process, the channels' own configuration, module index, check."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError, IntegrityError, RastosError, UserError
from rastos.progress import Progress

from .alpm.protocol import TransactionRequest
from .alpm.session import clear_stale_lock, run_transaction
from .channels import Channel, Wanted
from .database import installed_files, read_local
from .inspection import inspect_packages
from .plan import Plan
from .records import PackageRecord
from .recovery import clear_torn
from .repository import pack_database
from .target import Target
from .verification import settle

# a fresh tree's mount points with the modes they have under the mounts (as pacstrap makes them)
_SKELETON = {"dev": 0o755, "run": 0o755, "proc": 0o555, "sys": 0o555, "tmp": 0o1777}
_RESERVE = 16 << 20  # bytes that stay free


@dataclass(frozen=True)
class Result:
    """What was done; `seconds` by phase."""

    installed: tuple[str, ...] = ()
    upgraded: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()


def apply_plan(target: Target, channels: Sequence[Channel], plan: Plan, progress: Progress) -> Result:
    """Carry out a plan.

    Until libalpm starts, nothing in the tree changes, whatever fails. Raises HostError (not root, no space, no network),
    IntegrityError (digest, signature, hostile package), UserError (refused, tree changed since), BusyError, ExternalError
    (libalpm died, a maintainer script failed). An interrupted transaction is completed by planning and applying again.
    """
    from rastos.host import Journal, faults, locked, require_root

    journal = Journal(target.cache / "journal" / target.key)
    nothing = plan.nothing
    if nothing and not journal.open_intents():
        return Result()
    require_root("install packages")
    clock = _Clock()
    with locked(target.cache / "locks" / f"{target.key}.lock", f"changing the packages of {target.root}"):
        _unchanged(target, plan)
        _room(target, plan)
        wanted = _wanted(plan, channels)
        for channel, packages in wanted:
            channel.fetch(packages, target.packages, progress)
        # the debian channel converts packages itself and checks every member while it does
        inspect_packages(
            target.packages / package.filename
            for channel, packages in wanted
            if not hasattr(channel, "before_removal")
            for package in packages
        )
        clock.lap("fetch")
        faults.reached("packages-fetched")
        unfinished = journal.open_intents()
        if unfinished:
            progress.note("an earlier change of this tree did not finish; this one goes over it", "warning")
        intent = journal.begin(
            "packages", root=str(target.root), install=plan.order, remove=[p.name for p in plan.remove]
        )
        removed = [package.name for package in plan.remove]
        clear_stale_lock(target.database / "db.lck", progress)
        clear_torn(target, progress)
        old_modules = _releases(target, [package.name for package in (*plan.upgrade, *plan.remove)])
        for channel in channels:
            if removed and hasattr(channel, "before_removal"):
                channel.before_removal(target.root, removed, progress)
            names = [record.name for record in plan.records if record.channel == channel.name]
            if names and hasattr(channel, "before_unpacking"):
                channel.before_unpacking(target.root, names, progress)
        before = read_local(target.database)
        try:
            if not nothing:
                _transact(target, plan, progress)
        except RastosError:
            if read_local(target.database) == before and not unfinished:
                intent.close()
            raise
        intent.record("installed")
        clock.lap("libalpm")
        faults.reached("packages-installed")
        for channel in channels:
            names = [record.name for record in plan.records if record.channel == channel.name]
            if names or ((removed or unfinished) and hasattr(channel, "before_removal")):
                channel.configure(target.root, names, progress)
        settle(target, plan.order)
        clock.lap("configure")
        _index_modules(target, old_modules | _releases(target, plan.order))
        _verify(target, plan)
        for done in (*unfinished, intent):
            done.close()
    return Result(
        installed=tuple(package.name for package in plan.install),
        upgraded=tuple(package.name for package in plan.upgrade),
        removed=tuple(removed),
        seconds=tuple(clock.laps),
    )


class _Clock:
    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []
        self.started = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps.append((name, now - self.started))
        self.started = now


def _wanted(plan: Plan, channels: Sequence[Channel]) -> list[tuple[Channel, list[Wanted]]]:
    groups: dict[str, list[Wanted]] = {}
    for record in plan.records:
        locked = plan.locked.get(record.name)
        item = Wanted(record.name, record.version, record.filename, record.sha256, record.download_size, locked)
        groups.setdefault(record.channel, []).append(item)
    by_name = {channel.name: channel for channel in channels}
    unknown = sorted(set(groups) - set(by_name))
    if unknown:
        raise UserError(
            f"the plan needs the channel '{unknown[0]}'", next_step="make the plan again with these channels"
        )
    return [(by_name[name], items) for name, items in groups.items()]


def _unchanged(target: Target, plan: Plan) -> None:
    there = read_local(target.database)
    new = {package.name for package in plan.install}
    moved = [name for name in new if name in there and there[name].version != _version(plan, name)]
    moved += [p.name for p in plan.remove if p.name not in there or there[p.name].version != p.version]
    moved += [p.name for p in plan.upgrade if p.name not in there]
    if moved:
        raise UserError(
            f"the tree has changed since the plan was made: {', '.join(sorted(moved)[:5])}",
            on=target.root,
            next_step="make the plan again",
        )


def _version(plan: Plan, name: str) -> str:
    return next(record.version for record in plan.records if record.name == name)


def _room(target: Target, plan: Plan) -> None:
    folder = target.root
    while not folder.is_dir():
        folder = folder.parent
    figures = os.statvfs(folder)
    free = figures.f_bavail * figures.f_frsize
    if free < plan.installed_size + _RESERVE and plan.records:
        raise HostError(
            f"the disk is too small: {plan.installed_size >> 20} MiB to unpack, {free >> 20} MiB free",
            on=target.root,
            next_step="free space or make the tree's file system larger; nothing was changed",
        )


def _transact(target: Target, plan: Plan, progress: Progress) -> None:
    from rastos.host import system_mounts

    _make_skeleton(target.root)
    dependencies = (*(p.name for p in plan.incoming if p.reason == "dependency"), *plan.demote)
    with _sync_databases(target, plan.records) as names, system_mounts(target.root):
        run_transaction(
            TransactionRequest(
                root=str(target.root),
                database=str(target.database),
                cache=str(target.packages),
                databases=tuple(names),
                install=tuple((record.channel, record.name, record.version) for record in plan.records),
                remove=tuple(package.name for package in plan.remove),
                explicit=plan.explicit,
                dependencies=dependencies,
            ),
            progress,
        )


def _make_skeleton(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, mode in _SKELETON.items():
        path = root / name
        if not path.exists():
            path.mkdir()
            path.chmod(mode)


@contextmanager
def _sync_databases(target: Target, records: Sequence[PackageRecord]) -> Iterator[list[str]]:
    """Databases for libalpm with exactly the planned packages, there for the transaction only.

    With nothing else to choose from, libalpm can't add what the plan doesn't have, and loads in no time.
    """
    from rastos.host import write_atomic

    folder = target.database / "sync"
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({record.channel for record in records})
    try:
        for name in names:
            write_atomic(folder / f"{name}.db", pack_database(r for r in records if r.channel == name))
        yield names
    finally:
        for name in names:
            (folder / f"{name}.db").unlink(missing_ok=True)


def _releases(target: Target, names: Sequence[str]) -> set[str]:
    """Kernel releases that these installed packages have modules for."""
    there = read_local(target.database)
    found: set[str] = set()
    for name in names:
        if name not in there:
            continue
        for path in installed_files(target.database, there[name]):
            parts = path.split("/")
            if parts[:3] == ["usr", "lib", "modules"] and len(parts) > 4 and parts[4] in ("kernel", "updates", "extra"):
                found.add(parts[3])
    return found


def _index_modules(target: Target, releases: set[str]) -> None:
    from rastos.host import run

    for release in sorted(releases):
        if (target.root / "usr/lib/modules" / release).is_dir():
            # depmod looks below <base>/lib/modules; the tree's /usr has that without the /lib link
            run(["depmod", "-b", target.root / "usr", release], what=f"index the modules of {release}")


def _verify(target: Target, plan: Plan) -> None:
    there = read_local(target.database)
    missing = [r.name for r in plan.records if r.name not in there or there[r.name].version != r.version]
    left = [package.name for package in plan.remove if package.name in there]
    if missing or left:
        raise IntegrityError(
            "the package database does not say what was done",
            on=target.database,
            next_step="apply again; if it stays so, make the tree again",
            detail="\n".join(
                [*(f"{name} is missing" for name in missing), *(f"{name} is still there" for name in left)]
            ),
        )
