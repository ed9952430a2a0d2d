"""Sessions: work on a private, writable copy of a snapshot, which becomes a snapshot only by an explicit commit."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import UserError
from rastos.host import faults, write_json

from . import subvolume
from .kernels import kernel_release
from .metadata import Delta, Intent, Snapshot, now
from .store import Store, package_digest, package_names


class Session:
    """An open session; `tree` is its writable subvolume."""

    def __init__(self, store: Store, base: int | None, folder: Path) -> None:
        self.store = store
        self.base = base
        self.folder = folder
        self.tree = folder / "tree"
        self.committed = False

    def commit(
        self, description: str, *, name: str = "", tags: tuple[str, ...] = (), intent: Intent | None = None
    ) -> Snapshot:
        """Make the tree a read-only snapshot, in one rename; nothing of it is visible before.

        `intent`: what was asked of it, for a later rebase.
        """
        store = self.store
        if name and (name.isdigit() or name == "latest" or any(item.name == name for item in store.snapshots())):
            raise UserError(
                f"the name '{name}' can't be used", next_step="choose one that no snapshot has, not a number"
            )
        number = store.take_number("snapshot")
        building = store.top / "snapshots" / f".new-{number}"
        building.mkdir()
        # moved before it becomes read-only: a read-only subvolume can't get another parent folder
        os.rename(self.tree, building / "tree")
        subvolume.set_read_only(building / "tree", True)
        faults.reached("snapshot.moved")
        packages = package_names(building / "tree")
        before = package_names(store.tree(self.base)) if self.base is not None else {}
        snapshot = Snapshot(
            id=number,
            uuid=str(uuid.uuid4()),
            parent=self.base,
            created=now(),
            description=" ".join(description.split()),
            name=name,
            tags=tags,
            kernel=kernel_release(building / "tree"),
            packages=len(packages),
            package_digest=package_digest(packages),
            delta=_delta(before, packages) if self.base is not None else Delta(),
            intent=intent or Intent(),
        )
        write_json(building / "snapshot.json", snapshot.to_json())
        faults.reached("snapshot.described")
        os.rename(building, store.snapshot_path(number))
        store.sync()
        faults.reached("snapshot.committed")
        self.committed = True
        return snapshot

    def discard(self) -> None:
        """Drop the copy."""
        if self.tree.exists():
            subvolume.delete(self.tree)
        if self.folder.is_dir():
            self.folder.rmdir()


@contextmanager
def create_session(store: Store, base: int | None, purpose: str) -> Iterator[Session]:
    """A session on a copy of snapshot `base` (None: an empty tree). Left without a commit, it leaves nothing."""
    folder = store.top / "sessions" / secrets.token_hex(6)
    folder.mkdir(parents=True)
    write_json(folder.with_suffix(".json"), {"base": base, "purpose": purpose, "since": now(), "pid": os.getpid()})
    session = Session(store, base, folder)
    try:
        if base is None:
            subvolume.create(session.tree)
        else:
            subvolume.snapshot(store.tree(base), session.tree)
        faults.reached("session.opened")
        yield session
    finally:
        session.discard()
        folder.with_suffix(".json").unlink(missing_ok=True)


def create_snapshot(store: Store, base: int, description: str, *, name: str = "") -> Snapshot:
    """A child of `base` with the same content, to be changed later or to mark a point."""
    with create_session(store, base, "create a snapshot") as session:
        return session.commit(description, name=name)


def _delta(before: dict[str, str], after: dict[str, str]) -> Delta:
    return Delta(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
    )
