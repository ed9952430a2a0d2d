"""The same change over a snapshot and its descendants, in order, all or none: each gets a successor.

The successor of the first is its child: it and the change. The successor of a descendant stands below the successor of its
parent, and takes its predecessor's name and tags. The old ones stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rastos.errors import ExternalError, RastosError, UserError
from rastos.host import digest_of, faults
from rastos.package import Change, Plan
from rastos.progress import Progress

from .metadata import Intent
from .packages import Installed, PackageSource, change_packages, installed_in, plan_packages, words_of
from .protection import protected
from .rebase_files import carry_over, plan_carrying
from .recursive_branches import branch_of, intent_of
from .removal import delete, removal_of
from .session import Session
from .session_group import SessionGroup, opened_group
from .session_programs import run_in_session
from .store import Store

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NodeChange:
    """One snapshot of a change of many, and how its successor is made.

    It is a copy of the snapshot itself, or (`source` parent) of the new parent. `parent`: an existing snapshot, or
    (`follows`) the one whose successor is meant. `asked` is done to the copy, `intent` is recorded of it. `carry`: `files`
    are carried over from the snapshot, and no command is run. `problem`: why it can't be.
    """

    snapshot: int
    description: str
    source: Literal["itself", "parent"]
    parent: int
    follows: bool
    asked: Intent
    intent: Intent
    packages: Plan | None = None
    old_parent: int | None = None
    carry: bool = False
    files: tuple[str, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        values = {name: getattr(self, name) for name in self.__slots__ if name not in ("packages", "asked", "intent")}
        packages = self.packages.to_json() if self.packages is not None else None
        return {**values, "asked": asdict(self.asked), "packages": packages}


@dataclass(frozen=True, slots=True)
class TreeChange:
    """A change of many snapshots, parents first; `kind` is tree or rebase."""

    kind: Literal["tree", "rebase"]
    nodes: tuple[NodeChange, ...]

    @property
    def problems(self) -> tuple[NodeChange, ...]:
        """Snapshots that can't be changed so."""
        return tuple(node for node in self.nodes if node.problem)

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {"kind": self.kind, "nodes": [node.to_json() for node in self.nodes]}


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A snapshot and its successor; `words` say what was done. `resumed`: it was ready from an earlier attempt.

    `dropped`: the snapshot was deleted once its successor was there; `stays`: why it was not.
    """

    snapshot: int
    made: int
    words: str = ""
    conflicts: tuple[str, ...] = ()
    resumed: bool = False
    dropped: bool = False
    stays: str = ""


def plan_recursive(
    store: Store, number: int, intent: Intent, source: PackageSource, progress: Progress, *, description: str = ""
) -> TreeChange:
    """What a change comes to in a snapshot and each of its descendants. A problem of one is told with it."""
    nodes: list[NodeChange] = []
    for place in branch_of(store, number):
        item = place.snapshot
        first = place.above is None
        node = NodeChange(
            snapshot=item.id,
            description=description if first and description else item.description,
            source="itself",
            parent=item.id if place.above is None else place.above,
            follows=not first,
            asked=intent,
            intent=intent if first else intent_of(store, place, source),
        )
        there = installed_in(store.tree(item.id), source.cache)
        nodes.append(planned(node, store.tree(item.id), there, source, progress))
        source = replace(source, offline=True)
    if not intent.commands and not any(node.problem or (node.packages and not node.packages.nothing) for node in nodes):
        raise UserError(
            "nothing to do: all of these snapshots have that already", next_step="look with `rastos snapshot show ID`"
        )
    return TreeChange("tree", tuple(nodes))


def planned(node: NodeChange, tree: Path, there: Installed, source: PackageSource, progress: Progress) -> NodeChange:
    """The node with the plan of its packages, or with what stands against it."""
    change = wish(node, there)
    if change is None:
        return node
    try:
        return replace(node, packages=plan_packages(tree, source, change, progress, installed=there))
    except UserError as error:
        return replace(node, problem="; ".join(filter(None, (error.what, *error.detail.splitlines()))))


def wish(node: NodeChange, there: Installed) -> Change | None:
    """What is asked of the packages. What a new parent brings already will do, and need not go where it is not."""
    asked = node.asked
    remove = tuple(name for name in asked.remove if name in there)
    if not (asked.install or remove or asked.upgrade):
        return None
    if node.source == "parent":
        return Change(declared=asked.install, remove=remove, upgrade=asked.upgrade)
    return Change(asked.install, remove, asked.upgrade)


def change_many(
    store: Store, change: TreeChange, source: PackageSource, progress: Progress, *, on_line: OnLine | None = None
) -> tuple[NodeResult, ...]:
    """Carry it out: a result per snapshot, all published together. Any error leaves none of them.

    A change that died is gone on with. UserError: one of the snapshots can't be changed so (all are named).
    """
    if change.problems:
        raise _impossible(change)
    results: list[NodeResult] = []
    with opened_group(store, change.kind, change.nodes[0].snapshot, _request(store, change)) as group:
        for node in change.nodes:
            with progress.step(f"Snapshot {node.snapshot}") as step:
                try:
                    result = _one(store, group, node, source, progress, on_line)
                except RastosError as error:
                    error.detail = "\n".join(filter(None, (error.detail, *_state(change, results, node))))
                    raise
                results.append(result)
                step.outcome = f"ready before as {result.made}" if result.resumed else f"{result.made} is ready"
            source = replace(source, offline=True)
            faults.reached("group.node")
        group.commit()
    return tuple(results)


def drop_old(store: Store, results: Sequence[NodeResult]) -> tuple[NodeResult, ...]:
    """Delete the snapshots that have a successor now, but for those that are needed (to boot, by a session …)."""
    every = store.snapshots()
    needed = protected(store, every)
    going = [result.snapshot for result in results if result.snapshot not in needed]
    if going:
        delete(store, removal_of(store, every, going))
    return tuple(
        replace(result, dropped=result.snapshot in going, stays=needed.get(result.snapshot, "")) for result in results
    )


def _one(
    store: Store,
    group: SessionGroup,
    node: NodeChange,
    source: PackageSource,
    progress: Progress,
    on_line: OnLine | None,
) -> NodeResult:
    before = store.snapshot(node.snapshot)
    if before.id in group.ready:
        return NodeResult(before.id, group.ready[before.id].id, resumed=True)
    parent = group.ready[node.parent].id if node.follows else node.parent
    above = group.tree(node.parent) if node.follows else store.tree(node.parent)
    origin = above if node.source == "parent" else store.tree(before.id)
    with group.successor(before, origin) as session:
        words = []
        there = installed_in(session.tree, source.cache)
        change = wish(node, there)
        if change is not None:
            plan = plan_packages(session.tree, source, change, progress)
            if not plan.nothing:
                change_packages(session, source, plan, progress)
                words.append(words_of(plan))
        commands = () if node.carry else node.asked.commands
        for command in commands:
            _run(session, command, node.asked.network, on_line)
        if commands:
            words.append(f"{len(commands)} commands" if len(commands) > 1 else "1 command")
        conflicts: tuple[str, ...] = ()
        if node.carry and node.old_parent is not None:
            old, own = store.tree(node.old_parent), store.tree(before.id)
            carried = plan_carrying(old, own, session.tree, node.files)
            conflicts = carry_over(old, own, session.tree, carried)
            words.append(f"{len(carried)} files carried over")
        made = group.finish(
            session, before, parent=parent, beside=above, description=node.description, intent=node.intent
        )
    return NodeResult(before.id, made.id, ", ".join(filter(None, words)), conflicts)


def _run(session: Session, command: tuple[str, ...], network: bool, on_line: OnLine | None) -> None:
    status = run_in_session(session, command, network=network, on_line=on_line)
    if status != 0:
        raise ExternalError(
            f"the command ended with status {status} in the copy of snapshot {session.base}",
            next_step="correct the command; no snapshot was made",
            argv=command,
            status=status,
        )


def _state(change: TreeChange, results: list[NodeResult], failed: NodeChange) -> list[str]:
    lines = [f"snapshot {result.snapshot}: was ready, dropped" for result in results]
    lines.append(f"snapshot {failed.snapshot}: failed")
    return [*lines, *(f"snapshot {node.snapshot}: not begun" for node in change.nodes[len(lines) :])]


def _impossible(change: TreeChange) -> UserError:
    lines = [f"snapshot {node.snapshot}: {node.problem or 'could be changed'}" for node in change.nodes]
    count = len(change.problems)
    what = f"{count} of {len(change.nodes)} snapshots can't be changed so" if len(lines) > 1 else lines[0]
    step = "settle what the list says, or leave them out; nothing was changed"
    return UserError(what, next_step=step, detail="\n".join(lines) if len(lines) > 1 else "")


def _request(store: Store, change: TreeChange) -> str:
    """The same for the same wish over the same snapshots: what was decided about packages may differ."""

    def parts(node: NodeChange) -> Mapping[str, object]:
        uuids = [store.snapshot(node.snapshot).uuid, "" if node.follows else store.snapshot(node.parent).uuid]
        return {"uuids": uuids, "source": node.source, "asked": asdict(node.asked), "carry": node.carry}

    return digest_of(change.kind, json.dumps([parts(node) for node in change.nodes], sort_keys=True))
