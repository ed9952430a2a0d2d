"""A child is its parent and what was asked beyond it: on a changed parent, it is asked again.

Packages are resolved anew on the new parent by the package engine, so what the parent dropped is gone and what the child
removed is removed. Commands are run again, or the files they changed are carried over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rastos.errors import UserError
from rastos.progress import Progress

from .metadata import Intent, Snapshot
from .packages import Installed, PackageSource, after, installed_in
from .rebase_files import session_files
from .recursive import NodeChange, TreeChange, descendants, planned
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
    target = store.snapshot(onto) if onto is not None else successor(store, old)
    line = descendants(store, item.id)
    if target.id in {node.id for node in line}:
        raise UserError(
            f"snapshot {target.id} is snapshot {item.id} or stands below it",
            next_step="name a parent from another branch: --onto ID",
        )
    if target.id == old.id:
        raise UserError(
            f"snapshot {item.id} stands on snapshot {old.id} already", next_step="name another one: --onto ID"
        )
    return _plan(store, line if branch else line[:1], {item.id: target}, source, progress, files=files)


def plan_sync(
    store: Store,
    number: int,
    source: PackageSource,
    progress: Progress,
    *,
    old: int | None = None,
    files: bool = False,
) -> TreeChange:
    """What bringing everything below the old version of a snapshot onto this one comes to.

    The old version is `old`, or the one it took the place of, or its parent: then its siblings follow. UserError: nothing
    to bring over.
    """
    target = store.snapshot(number)
    if old is None:
        later = _successors(store, target)
        if later:  # an old version is named: what took its place is meant
            old, target = target.id, later[-1]
        else:
            old = target.succeeds if target.succeeds is not None else target.parent
    every = store.snapshots()
    if old is None or old == target.id:
        raise UserError(
            f"snapshot {target.id} has no older version",
            next_step="say what its children stand on: `rastos snapshot sync ID --from OLD`",
        )
    own = {item.id for item in descendants(store, target.id)}
    line = {item.id for item in _ancestors(store, target)}
    moved = {item.succeeds for item in every if item.succeeds is not None and item.id in own}
    first = [item for item in every if item.parent == old and item.id not in own | line | moved]
    if not first:
        raise UserError(
            f"nothing stands on snapshot {old} that is not on snapshot {target.id} too",
            next_step="`rastos snapshot tree` shows what stands where",
        )
    nodes = [node for item in first for node in descendants(store, item.id)]
    return _plan(store, nodes, {item.id: target for item in first}, source, progress, files=files)


def successor(store: Store, item: Snapshot) -> Snapshot:
    """The newest snapshot that took this one's place. UserError: none did."""
    found = _successors(store, item)
    if not found:
        raise UserError(
            f"no snapshot took the place of {item.id}",
            next_step="name the new parent: --onto ID; `--replace` makes a changed copy take its place",
        )
    return found[-1]


def intent_of(store: Store, item: Snapshot, parent: Snapshot, source: PackageSource) -> Intent:
    """What was asked of a snapshot; where nobody wrote it down, what its packages and files tell."""
    if item.intent:
        return item.intent
    before, there = (installed_in(store.tree(node.id), source.cache) for node in (parent, item))
    install = sorted(name for name, record in there.items() if name not in before and record.reason == "explicit")
    remove = sorted(name for name in before if name not in there)
    return Intent(tuple(install), tuple(remove), files=True)


def _plan(
    store: Store,
    items: Sequence[Snapshot],
    targets: dict[int, Snapshot],
    source: PackageSource,
    progress: Progress,
    *,
    files: bool,
) -> TreeChange:
    """Each on what its new parent will have by then; one that can't be takes those below it along."""
    nodes: list[NodeChange] = []
    will_have: dict[int, Installed] = {}
    broken: set[int] = set()
    for item in items:
        target = targets.get(item.id)
        old = _parent_of(store, item)
        intent = intent_of(store, item, old, source)
        carry = files or intent.files
        node = NodeChange(
            snapshot=item.id,
            description=item.description,
            source="parent",
            parent=target.id if target else old.id,
            follows=target is None,
            asked=intent,
            intent=intent,
            old_parent=old.id,
            carry=carry,
            files=session_files(store.tree(old.id), store.tree(item.id), source.cache) if carry else (),
        )
        if target is None and old.id in broken:
            node = replace(node, problem=f"its parent {old.id} can't be brought over")
        else:
            there = installed_in(store.tree(target.id), source.cache) if target else will_have[old.id]
            node = planned(node, store.tree(item.id), there, source, progress)
            will_have[item.id] = after(there, node.packages) if node.packages else there
            source = replace(source, offline=True)
        if node.problem:
            broken.add(item.id)
        nodes.append(node)
    return TreeChange("rebase", tuple(nodes))


def _parent_of(store: Store, item: Snapshot) -> Snapshot:
    there = {node.id: node for node in store.snapshots()}
    if item.parent is None or item.parent not in there:
        raise UserError(
            f"snapshot {item.id} has no parent that could tell what was asked of it",
            next_step="only a child can be rebased; `rastos snapshot tree` shows them",
        )
    return there[item.parent]


def _successors(store: Store, item: Snapshot) -> list[Snapshot]:
    found: list[Snapshot] = []
    every = store.snapshots()
    place: int | None = item.id
    while place is not None:
        later = [node for node in every if node.succeeds == place and node not in found]
        place = later[-1].id if later else None
        found += later[-1:]
    return found


def _ancestors(store: Store, item: Snapshot) -> list[Snapshot]:
    every = {node.id: node for node in store.snapshots()}
    found: list[Snapshot] = []
    place = item.parent
    while place is not None and place in every and every[place] not in found:
        found.append(every[place])
        place = every[place].parent
    return found
