"""A child is its parent and what was asked beyond it: on a changed parent, it is asked again.

Packages are resolved anew on the new parent by the package engine, so what the parent dropped is gone and what the child
removed is removed. Commands are run again, or the files they changed are carried over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rastos.errors import UserError
from rastos.progress import Progress

from .metadata import Snapshot
from .packages import Installed, PackageSource, after, installed_in
from .rebase_files import session_files
from .recursive import NodeChange, TreeChange, planned
from .recursive_branches import BranchNode, below, branch_of, intent_of, line_of, successors
from .store import Store


def plan_rebase(
    store: Store,
    number: int,
    source: PackageSource,
    progress: Progress,
    *,
    onto: int | None = None,
    branch: bool = False,
    files: bool = False,
) -> TreeChange:
    """What putting a snapshot on another parent comes to; `onto` None: what took its parent's place.

    `branch`: its descendants follow. `files`: carry files over, where commands would be run again. UserError: it has no
    parent, or the new one is itself or below it.
    """
    item = store.snapshot(number)
    old = _parent_of(store, item)
    target = store.snapshot(onto) if onto is not None else _successor(store, old)
    if target.id in below(store, item.id):
        raise UserError(
            f"snapshot {target.id} is snapshot {item.id} or stands on it",
            next_step="name a parent from another branch: --onto ID",
        )
    if target.id == old.id:
        raise UserError(
            f"snapshot {item.id} stands on snapshot {old.id} already", next_step="name another one: --onto ID"
        )
    nodes = branch_of(store, item.id) if branch else ()
    first = BranchNode(item, old.id)
    return _plan(store, (first, *nodes[1:]), old.id, target, source, progress, files=files)


def plan_sync(
    store: Store,
    number: int,
    source: PackageSource,
    progress: Progress,
    *,
    old: int | None = None,
    files: bool = False,
) -> TreeChange:
    """What bringing everything that stands on the old version of a snapshot onto this one comes to.

    The old version is `old`, or the one it took the place of, or its parent: then its siblings follow. UserError: nothing
    to bring over.
    """
    target = store.snapshot(number)
    if old is None:
        later = successors(store, target)
        if later:  # an old version is named: what took its place is meant
            old, target = target.id, later[-1]
        else:
            old = target.succeeds if target.succeeds is not None else target.parent
    if old is None or old == target.id:
        raise UserError(
            f"snapshot {target.id} has no older version",
            next_step="say what its children stand on: `rastos snapshot sync ID --from OLD`",
        )
    apart = {item.id for item in line_of(store, target)} - {old}
    nodes = branch_of(store, old, without={target.id, *apart})[1:]
    if not nodes:
        raise UserError(
            f"nothing stands on snapshot {old} that would have to be brought over to snapshot {target.id}",
            next_step="`rastos snapshot tree` shows what stands where",
        )
    return _plan(store, nodes, old, target, source, progress, files=files)


def _plan(
    store: Store,
    nodes: Sequence[BranchNode],
    old: int,
    target: Snapshot,
    source: PackageSource,
    progress: Progress,
    *,
    files: bool,
) -> TreeChange:
    """Each on what its new parent will have by then; one that can't be takes those that stand on it along."""
    changes: list[NodeChange] = []
    will_have: dict[int, Installed] = {old: installed_in(store.tree(target.id), source.cache)}
    broken: set[int] = set()
    for place in nodes:
        item, above = place.snapshot, old if place.above is None else place.above
        intent = intent_of(store, place, source)
        carry = files or intent.files
        node = NodeChange(
            snapshot=item.id,
            description=item.description,
            source="parent",
            parent=target.id if above == old else above,
            follows=above != old,
            asked=intent,
            intent=intent,
            old_parent=above,
            carry=carry,
            files=session_files(store.tree(above), store.tree(item.id), source.cache) if carry else (),
        )
        if above in broken:
            node = replace(node, problem=f"snapshot {above}, on which it stands, can't be brought over")
        else:
            node = planned(node, store.tree(item.id), will_have[above], source, progress)
            will_have[item.id] = after(will_have[above], node.packages) if node.packages else will_have[above]
            source = replace(source, offline=True)
        if node.problem:
            broken.add(item.id)
        changes.append(node)
    return TreeChange("rebase", tuple(changes))


def _parent_of(store: Store, item: Snapshot) -> Snapshot:
    line = line_of(store, item)
    if not line:
        raise UserError(
            f"snapshot {item.id} has no parent that could tell what was asked of it",
            next_step="only a child can be rebased; `rastos snapshot tree` shows them",
        )
    return line[0]


def _successor(store: Store, item: Snapshot) -> Snapshot:
    found = successors(store, item)
    if not found:
        raise UserError(
            f"no snapshot took the place of {item.id}",
            next_step="name the new parent: --onto ID; `--replace` makes a changed copy take its place",
        )
    return found[-1]
