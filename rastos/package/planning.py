"""Making plans: the channels' databases, the manifest's rules and what is installed, put to the resolver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rastos.errors import UserError
from rastos.progress import Progress

from .channels import Channel, allows, alternatives_of
from .database import SyncIndex, read_local
from .lockfile import Lockfile
from .manifest import Constraint, DeclaredPackage, Manifest
from .plan import Change, Plan, PlannedPackage, shown_version
from .records import PackageRecord
from .recovery import torn_packages
from .relations import compare_versions
from .resolve import Index, Problem, Question, Resolution, Rules, Wish, explain, resolve
from .target import Target

Decide = Callable[[Question], str | None]
"""Answers a question with one of its answers, "" for no, None for undecided."""

_LINE = 200  # what is longer goes into the detail
_KINDS = {
    "missing": "packages are not there",
    "dependency": "dependencies can't be met",
    "conflict": "packages conflict",
    "arch": "packages are for another architecture",
    "removal": "installed packages need what would go",
    "held": "packages are held",
}


def plan_change(
    target: Target,
    channels: Sequence[Channel],
    change: Change,
    progress: Progress,
    *,
    manifest: Manifest | None = None,
    declared: Sequence[DeclaredPackage] = (),
    decide: Decide | None = None,
    offline: bool = False,
    lock: Lockfile | None = None,
    installed: Mapping[str, PackageRecord] | None = None,
) -> Plan:
    """What a change comes to. UserError lists everything that stands against it; nothing is written.

    `installed`: planned as if the tree had these packages, and not those it has.

    With `lock` only its packages can come, and those of local channels that it doesn't name.

    `declared` brings its packages, their constraints and reasons along. `decide` answers what neither manifest nor
    packagers decide; without it such a question is an error that says what to write into the manifest.
    """
    installed = read_local(target.database) if installed is None else installed
    # what was being unpacked when libalpm died is completed by the next change
    torn = tuple(name for name in torn_packages(target.database) if name not in (*change.remove, *installed))
    wanted = (*change.declared, *(item.target for item in declared))
    change = replace(change, install=tuple(dict.fromkeys((*change.install, *torn))), declared=wanted)
    asks = change.install or change.declared or change.upgrade or change.reinstall or change.downgrade
    indexes: list[Index] = []
    if asks:
        live = [channel for channel in channels if lock is None or _is_local(channel)]
        indexes = [*(lock.indexes() if lock else ()), *load_indexes(live, progress, offline=offline)]
    with progress.step("resolving") as step:
        rules = rules_of(manifest, declared, channels)
        found = decided(target, indexes, installed, change, rules, decide)
        plan = _plan(found, installed, channels, {item.name: item.reason for item in declared})
        if lock is not None:
            known = lock.by_name
            locked = {r.name: known[r.name] for r in plan.records if r.name in known}
            plan = replace(plan, locked=locked)
        changed = len(plan.records) + len(plan.remove)
        step.outcome = f"{changed} packages change" if changed else "nothing to do"
    return plan


def load_indexes(channels: Sequence[Channel], progress: Progress, *, offline: bool = False) -> list[SyncIndex]:
    """The refreshed databases of all channels in order of priority."""
    databases = [channel.refresh(progress, offline=offline) for channel in channels]
    return [SyncIndex.load(database.path, database.name) for database in databases]


def rules_of(manifest: Manifest | None, declared: Iterable[DeclaredPackage], channels: Sequence[Channel]) -> Rules:
    """The manifest's rules and the demands of what is declared, as the resolver takes them."""
    upgradable = frozenset(channel.name for channel in channels if allows(channel, "upgrade"))
    installable = frozenset(channel.name for channel in channels if allows(channel, "install"))
    if manifest is None:
        return Rules(upgradable=upgradable, installable=installable)
    constraints: dict[str, tuple[Constraint, ...]] = dict(manifest.pin)
    allowed: dict[str, frozenset[str]] = {}
    local = frozenset(channel.name for channel in channels if _is_local(channel))
    for item in declared:
        if item.version:
            constraints[item.name] = (*constraints.get(item.name, ()), *item.version)
        if item.source:
            others = frozenset(channel.name for channel in channels) - local
            allowed[item.name] = others if item.source == "official" else local
    return Rules(
        prefer=manifest.prefer,
        replace=manifest.replace,
        constraints=constraints,
        channels=allowed,
        exclude=manifest.exclude,
        ignore=manifest.ignore,
        hold=manifest.hold,
        upgradable=upgradable,
        installable=installable,
    )


def decided(
    target: Target,
    indexes: Sequence[Index],
    installed: Mapping[str, PackageRecord],
    change: Change,
    rules: Rules,
    decide: Decide | None,
) -> Resolution:
    """The resolution, every question answered. UserError: problems, or a question that nobody answers."""
    wish = change

    def solve(chosen: Wish) -> Resolution:
        return resolve(
            indexes,
            installed,
            chosen,
            arch=target.arch,
            rules=rules,
            alternatives=alternatives_of,
            shown=shown_version,
            mapped=_mapped,
        )

    while True:
        found = solve(wish)
        if found.problems:
            raise _explained(found, wish, solve, target)
        if not found.questions:
            return found
        prefer, successors = dict(rules.prefer), dict(rules.replace)
        open_questions = []
        for question in found.questions:
            answer = decide(question) if decide else None
            if answer is None:
                open_questions.append(question)
            elif question.kind == "provider":
                prefer[question.subject] = answer
            else:
                successors[question.subject] = answer
        if open_questions:
            raise _undecided(open_questions)
        rules = replace(rules, prefer=prefer, replace=successors)


def _undecided(questions: Sequence[Question]) -> UserError:
    lines = []
    for question in questions:
        table = "prefer" if question.kind == "provider" else "replace"
        lines.append(f'{question.text}; for example: [{table}] "{question.subject}" = "{question.answers[0]}"')
    what = f"{len(questions)} choices are not decided" if len(questions) > 1 else "a choice is not decided"
    step = "write the answers into packages.toml, or run it on a terminal to be asked"
    return UserError(what, next_step=step, detail="\n".join(lines))


def _explained(found: Resolution, wish: Wish, solve: Callable[[Wish], Resolution], target: Target) -> UserError:
    """The error for what can't be met; where packages are at odds, the smallest part of the wish that shows it."""
    targets = tuple(dict.fromkeys((*wish.declared, *wish.install)))
    odds = any(problem.kind == "conflict" or "conflicts with" in problem.text for problem in found.problems)
    if not odds or len(targets) < 2:
        return unsolvable(found.problems, target)

    def only(kept: tuple[str, ...]) -> Resolution:
        names = set(kept)
        install = tuple(text for text in wish.install if text in names)
        return solve(
            replace(wish, install=install, declared=tuple(text for text in wish.declared if text in names), prune=False)
        )

    smallest, problems = explain(targets, only)
    if not 1 < len(smallest) < len(targets):
        return unsolvable(found.problems, target)
    names = f"{', '.join(smallest[:-1])} and {smallest[-1]}"
    step = "leave one out, or say who gives way: [replace] OLD = NEW in packages.toml; nothing was changed"
    detail = "\n".join(str(problem) for problem in problems)
    return UserError(f"{names} can't be had together", on=target.root, next_step=step, detail=detail)


def unsolvable(problems: Sequence[Problem], target: Target) -> UserError:
    """One error that carries every problem."""
    lines = [str(problem) for problem in problems]
    kinds = list(dict.fromkeys(problem.kind for problem in problems))
    near = next((problem.near for problem in problems if problem.near), ())
    if len(lines) == 1 and len(lines[0]) < _LINE:
        names = " or ".join(f"'{name}'" for name in near)
        step = f"did you mean {names}? `rastos package search` finds more" if near else problems[0].step
        step = step or "change what is asked for"
        return UserError(problems[0].text, on=target.root, next_step=f"{step}; nothing was changed")
    count = f"{len(lines)} problems: " if len(lines) > 1 else ""
    what = count + " and ".join(_KINDS[kind] for kind in kinds)
    return UserError(what, on=target.root, next_step="see the list; nothing was changed", detail="\n".join(lines))


def _plan(
    found: Resolution, installed: Mapping[str, PackageRecord], channels: Sequence[Channel], notes: Mapping[str, str]
) -> Plan:
    by_name = {channel.name: channel for channel in channels}
    kinds: dict[str, list[PlannedPackage]] = {"install": [], "upgrade": [], "downgrade": [], "reinstall": []}
    for record in found.install:
        old = installed.get(record.name)
        package = planned(record, old, by_name.get(record.channel), found, notes.get(record.name, ""))
        order = compare_versions(record.version, old.version) if old else 0
        kinds[("reinstall", "upgrade", "downgrade")[order] if old else "install"].append(package)
    successors = {old: new for new, old in found.replaces}
    kinds["remove"] = [
        PlannedPackage(
            name=record.name,
            version=record.version,
            shown_version=shown_version(record.version),
            channel="",
            reason="dependency" if record.reason == "dependency" else "explicit",
            installed_size=record.installed_size,
            because=successors.get(record.name, ""),
        )
        for record in found.remove
    ]
    explicit = tuple(sorted(n for n in found.explicit if n not in installed or installed[n].reason != "explicit"))
    return Plan(
        install=_sorted(kinds["install"]),
        upgrade=_sorted(kinds["upgrade"]),
        downgrade=_sorted(kinds["downgrade"]),
        reinstall=_sorted(kinds["reinstall"]),
        remove=_sorted(kinds["remove"]),
        records=found.install,
        explicit=explicit,
        replaces=found.replaces,
        demote=found.demote,
        undeclared=found.undeclared,
        orphans=found.orphans,
        ignored=found.ignored,
        choices=found.choices,
    )


def planned(
    record: PackageRecord, old: PackageRecord | None, channel: Channel | None, found: Resolution, note: str
) -> PlannedPackage:
    """A package that comes in."""
    explicit = record.name in found.explicit or (old is not None and old.reason == "explicit")
    return PlannedPackage(
        name=record.name,
        version=record.version,
        shown_version=channel.display_version(record.version) if channel else record.version,
        channel=record.channel,
        reason="explicit" if explicit and record.name not in found.demote else "dependency",
        why=tuple(found.why.get(record.name, ())),
        old_version=shown_version(old.version) if old else "",
        download_size=record.download_size,
        installed_size=record.installed_size,
        old_size=old.installed_size if old else 0,
        note=note,
    )


def _sorted(packages: Iterable[PlannedPackage]) -> tuple[PlannedPackage, ...]:
    return tuple(sorted(packages, key=lambda package: package.name))


def _is_local(channel: Channel) -> bool:
    from .channels.local import LocalChannel

    return isinstance(channel, LocalChannel)


def _mapped(record: PackageRecord, version: str) -> str:
    """A constraint's version as the record's channel writes it (see `resolve.candidates.Mapped`)."""
    from .channels.debian import decode, encode

    own = decode(record.version)
    if own == record.version:
        return version or record.version.rpartition("-")[0] or record.version
    try:
        return encode(version or own.rpartition("-")[0] or own)
    except ValueError:
        return version
