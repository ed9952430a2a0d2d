"""Carrying out a plan: fetch, look at it, libalpm in its child process, the channels' own configuration, module index, check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, RastosError
from rastos.progress import Progress

from .alpm.engine import carry_out, ready
from .alpm.protocol import TransactionRequest
from .alpm.session import Outcome, Worker, clear_stale_lock
from .channels import Channel, Wanted
from .conflicts import check_conflicts
from .database import installed_files, read_local
from .hooks import run_hooks
from .inspection import Inspection
from .kernels import check_kernels
from .origins import record_origins
from .plan import Plan, PlannedPackage
from .policy import TransactionPolicy, pattern_of
from .preparation import check_held, check_room, check_unchanged, conflicting, inspected, overwritable, wanted_of
from .records import PackageRecord
from .recovery import clear_leftovers, forget_torn
from .repository import pack_database
from .target import Target
from .verification import settle, settled

# a fresh tree's mount points with the modes they have under the mounts (as pacstrap makes them)
_SKELETON = {"dev": 0o755, "run": 0o755, "proc": 0o555, "sys": 0o555, "tmp": 0o1777}
# libalpm's own folder of hooks is usr/share/libalpm/hooks; this is the administrator's
_HOOKS = "etc/pacman.d/hooks"
_REASONS = ("explicit", "dependencies")
Recorder = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What was done; `seconds` by phase. `config_files` are the .pacnew and .pacsave files made, as paths in the tree."""

    installed: tuple[str, ...] = ()
    upgraded: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()
    downgraded: tuple[str, ...] = ()
    reinstalled: tuple[str, ...] = ()
    config_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def apply_plan(
    target: Target,
    channels: Sequence[Channel],
    plan: Plan,
    progress: Progress,
    *,
    policy: TransactionPolicy | None = None,
    engine: str = "auto",
) -> Result:
    """Carry out a plan; `engine` is libalpm, pacman (the program), or auto: the program where the binding can't be used.

    Until libalpm starts, nothing in the tree changes, whatever fails. Raises HostError (not root, no space, no network),
    IntegrityError (digest, signature, hostile package), UserError (refused, tree changed since), FileConflictError,
    BusyError, ExternalError (libalpm died, a script or hook failed). An interrupted transaction is completed by planning and
    applying again.
    """
    from rastos.host import Journal, locked, require_root

    journal = Journal(target.cache / "journal" / target.key)
    if plan.nothing and not journal.open_intents():
        return Result()
    require_root("install packages")
    with locked(target.cache / "locks" / f"{target.key}.lock", f"changing the packages of {target.root}"):
        with ready(engine, wanted=not plan.nothing) as worker:
            return _Application(target, channels, plan, progress, policy or TransactionPolicy(), engine, worker).run()


class _Application:
    """One application of a plan, under the tree's lock."""

    def __init__(
        self,
        target: Target,
        channels: Sequence[Channel],
        plan: Plan,
        progress: Progress,
        policy: TransactionPolicy,
        engine: str,
        worker: Worker | None,
    ) -> None:
        from rastos.host import Journal

        self.target = target
        self.channels = channels
        self.plan = plan
        self.progress = progress
        self.policy = policy
        self.engine = engine
        self.worker = worker
        self.journal = Journal(target.cache / "journal" / target.key)
        self.unfinished = self.journal.open_intents()
        self.before = read_local(target.database)
        self.removed = [package.name for package in plan.remove]
        self.reasons = _reasons(plan, self.before)
        # in those of a channel's distribution: what a failed one has begun is gone over by the next change
        self.in_scripts = False

    def run(self) -> Result:
        from rastos.host import faults

        plan, target, clock = self.plan, self.target, _Clock()
        check_unchanged(target, plan, self.before)
        check_held(target, plan, self.policy)
        check_kernels(target, plan, self.policy)
        clear_leftovers(target, self.progress)
        check_room(target, plan)
        wanted = wanted_of(plan, self.channels)
        for channel, packages in wanted:
            channel.fetch(packages, target.packages, self.progress)
        clock.lap("fetch")
        faults.reached("packages-fetched")
        found = inspected(target, plan, wanted, self.policy, self.progress)
        clock.lap("inspect")
        faults.reached("packages-inspected")
        if self.unfinished:
            self.progress.note("an earlier change of this tree did not finish; this one goes over it", "warning")
        detail = {"install": plan.order, "remove": self.removed, **self.reasons}
        intent = self.journal.begin("packages", root=str(target.root), **detail)
        faults.reached("packages-begun")
        try:
            old_modules = _releases(target, self.before, [*(p.name for p in plan.incoming), *self.removed])
            outcome = self._change(wanted, found, intent.record)
        except RastosError:
            if read_local(target.database) == self.before and not self.unfinished and not self.in_scripts:
                intent.close()
            raise
        intent.record("installed")
        clock.lap("libalpm")
        faults.reached("packages-installed")
        there = read_local(target.database)
        _verify(target, plan, there)
        record_origins(target, plan, self.channels, there)
        self._configure(there, found)
        _index_modules(target, old_modules | _releases(target, there, plan.order))
        clock.lap("configure")
        faults.reached("packages-configured")
        run_hooks(self.policy.post_hooks, "post", self._touched(), target.root, self.progress)
        for done in (*self.unfinished, intent):
            done.close()
        return Result(
            installed=_names(plan.install),
            upgraded=_names(plan.upgrade),
            removed=tuple(self.removed),
            seconds=tuple(clock.laps),
            downgraded=_names(plan.downgrade),
            reinstalled=_names(plan.reinstall),
            config_files=tuple(outcome.config_files),
            warnings=tuple(outcome.warnings),
        )

    def _change(
        self, wanted: Sequence[tuple[Channel, Sequence[Wanted]]], found: Mapping[str, Inspection], record: Recorder
    ) -> Outcome:
        target, plan = self.target, self.plan
        clear_stale_lock(target.database / "db.lck", self.progress)
        overwrite = overwritable(target.root, wanted, self.policy)
        no_extract = tuple(pattern_of(text) for text in self.policy.no_extract)
        check_conflicts(target, self.before, found, self.removed, overwrite=overwrite, no_extract=no_extract)
        run_hooks(self.policy.pre_hooks, "pre", [*plan.order, *self.removed], target.root, self.progress)
        self.in_scripts = True
        for channel in self.channels:
            if self.removed and hasattr(channel, "before_removal"):
                channel.before_removal(target.root, self.removed, self.progress)
            names = [item.name for item in plan.records if item.channel == channel.name]
            if names and hasattr(channel, "before_unpacking"):
                channel.before_unpacking(target.root, names, self.progress)
        self.in_scripts = False
        return self._transact(overwrite, no_extract, record)

    def _transact(self, overwrite: tuple[str, ...], no_extract: tuple[str, ...], record: Recorder) -> Outcome:
        from rastos.host import system_mounts

        target, plan = self.target, self.plan
        reasons = self._all_reasons()
        if plan.nothing and not any(reasons.values()):
            return Outcome()
        forget_torn(target)
        _make_skeleton(target.root)
        with _sync_databases(target, plan.records) as names, system_mounts(target.root):
            request = TransactionRequest(
                root=str(target.root),
                database=str(target.database),
                cache=str(target.packages),
                databases=tuple(names),
                install=tuple((item.channel, item.name, item.version) for item in plan.records),
                remove=tuple(self.removed),
                explicit=reasons["explicit"],
                dependencies=reasons["dependencies"],
                files=tuple(str(target.packages / item.filename) for item in plan.records),
                conflicting=conflicting(plan, self.before),
                noextract=no_extract,
                noupgrade=tuple(pattern_of(text) for text in self.policy.no_upgrade),
                overwrite=overwrite,
                hookdirs=_hook_folders(target.root),
                hold=self.policy.hold,
                force_hold=self.policy.force_hold,
            )
            return carry_out(request, self.progress, self.engine, self.worker, record)

    def _all_reasons(self) -> dict[str, tuple[str, ...]]:
        """Reasons to set: this plan's, and those that an unfinished change did not come to."""
        decided = {name for names in self.reasons.values() for name in names} | set(self.removed)
        known = {*self.before, *self.plan.order}
        found = {}
        for kind in _REASONS:
            late = [name for intent in self.unfinished for name in intent.detail.get(kind, ())]
            found[kind] = (*self.reasons[kind], *(name for name in late if name in known and name not in decided))
        return found

    def _configure(self, there: Mapping[str, PackageRecord], found: Mapping[str, Inspection]) -> None:
        scripted = [name for name, inspection in found.items() if inspection.script]
        for channel in self.channels:
            names = [item.name for item in self.plan.records if item.channel == channel.name]
            configures = hasattr(channel, "before_removal")
            if names or ((self.removed or self.unfinished) and configures):
                channel.configure(self.target.root, names, self.progress)
            if configures:
                scripted += names
        # scripts may have changed owners and modes; what an earlier script did to these files is over
        settle(self.target, self.plan.order if settled(self.target) else dict.fromkeys(scripted))

    def _touched(self) -> list[str]:
        late = [name for intent in self.unfinished for kind in ("install", "remove") for name in intent.detail[kind]]
        return list(dict.fromkeys((*self.plan.order, *self.removed, *late)))


def _reasons(plan: Plan, before: Mapping[str, PackageRecord]) -> dict[str, tuple[str, ...]]:
    """Install reasons to set: as planned; what takes a package's place has its reason, unless it was asked for itself."""
    explicit = dict.fromkeys(plan.explicit)
    for new, old in plan.replaces:
        if new not in before and old in before and before[old].reason == "explicit" and new not in plan.demote:
            explicit[new] = None
    dependencies = [p.name for p in plan.incoming if p.reason == "dependency" and p.name not in explicit]
    return {"explicit": tuple(explicit), "dependencies": tuple(dict.fromkeys((*dependencies, *plan.demote)))}


def _names(packages: Iterable[PlannedPackage]) -> tuple[str, ...]:
    return tuple(package.name for package in packages)


def _hook_folders(root: Path) -> tuple[str, ...]:
    """The tree's own second folder of hooks; not where a link takes it out of the tree."""
    folder = root / _HOOKS
    return (str(folder),) if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()) else ()


class _Clock:
    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []
        self.started = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps.append((name, now - self.started))
        self.started = now


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


def _releases(target: Target, there: Mapping[str, PackageRecord], names: Iterable[str]) -> set[str]:
    """Kernel releases that these installed packages have modules for."""
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


def _verify(target: Target, plan: Plan, there: Mapping[str, PackageRecord]) -> None:
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
