"""Carrying an adoption out. The boot loader comes last: until then the old system boots as ever; and the way back.

The old subvolumes are only read. What was on the ESP is kept below adopted/ on the btrfs before it is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import faults, read_json, run, safe_join, write_atomic, write_json
from rastos.package import (
    Change,
    Channel,
    apply_plan,
    installed_files,
    plan_change,
    read_local,
    target_for,
)
from rastos.progress import Progress
from rastos.snapshot import (
    Store,
    copy_foreign,
    create_session,
    deploy,
    drop_foreign,
    drop_store,
    fill_state,
    plan_deploy,
)

from ..bootloader import PLACES, install_bootloader
from ..initprogram import NAME as INIT_PACKAGE
from ..partition import ROOT_TYPE
from ..system.storage import mount_points, write_storage
from .opening import ForeignDisk
from .plan import DATABASES, FOLDER, RECORD, STATE, AdoptPlan

REPLACED = (*PLACES, "/loader/loader.conf", "/loader/entries.srel")
COPY = ".adopting"  # the copy of the old root until a session has it


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an adoption came to."""

    disk: Path
    snapshot: int
    deployment: int
    kernel: str


def adopt_disk(
    foreign: ForeignDisk, plan: AdoptPlan, channels: Sequence[Channel], *, cache: Path, progress: Progress
) -> Adopted:
    """Make a store beside the old system, with a copy of it as the first snapshot, and let that boot next.

    `channels` have to bring the package rastos-init. Raises IntegrityError (its parts don't fit together), HostError (no
    space on the ESP or the btrfs), ExternalError. Killed, it is undone by the next one; the old system boots meanwhile.
    """
    top = foreign.top
    if plan.anew:
        with progress.step("Undo the adoption that was interrupted"):
            _put_back(foreign, read_json(top / RECORD))
            drop_store(top)
            drop_foreign(top, [COPY] if (top / COPY).exists() else [])
    with progress.step("Copy the system"):
        copy_foreign(top, plan.subvolume, top / COPY)
        _keep(foreign, plan)
        faults.reached("adopt.copied")
    store = Store.initialise(top, foreign.files, root_partuuid=foreign.root.uuid, cmdline=plan.cmdline)
    with create_session(store, None, "adopt", tree=top / COPY) as session:
        tree = session.tree
        with progress.step("Take over its state"):
            _database(tree)
            _without_store(tree)
            mount_points(tree)
            fill_state(store, tree, plan.state)
            _thin(tree)
            faults.reached("adopt.state")
        with progress.step("Install what starts a deployment"):
            target = target_for(tree, cache, immutable=True)
            change = plan_change(target, channels, Change(install=(INIT_PACKAGE,)), progress)
            apply_plan(target, channels, change, progress)
            _storage(tree, foreign, plan)
        made = session.commit(f"adopted from {plan.subvolume or 'the top level'}")
    deployment = deploy(store, plan_deploy(store, made.id), progress)
    faults.reached("adopt.deployed")
    with progress.step("Let it boot"):
        _set_type(foreign, ROOT_TYPE)
        install_bootloader(foreign.files, store.tree(made.id))
        faults.reached("adopt.loader")
        _note(top, "adopted")
    return Adopted(plan.disk, made.id, deployment.number, deployment.kernel)


def undo_adoption(foreign: ForeignDisk, progress: Progress) -> None:
    """Let the old system boot again, as it was. What changed since stays in the store until it is forgotten.

    Raises UserError where nothing was adopted.
    """
    record = _record(foreign)
    with progress.step("Put back what booted before"):
        _put_back(foreign, record)
        _note(foreign.top, "undone")


def forget_adoption(foreign: ForeignDisk, progress: Progress) -> tuple[str, ...]:
    """Drop the side that does not boot: the old subvolumes, or after an undo the store. Returns what went.

    Raises UserError where nothing was adopted, or the old root is the top level itself, which nothing can drop.
    """
    record = _record(foreign)
    top = foreign.top
    with progress.step("Drop what does not boot"):
        if record["state"] != "adopted":
            drop_store(top)
            return ("the store",)
        old = tuple(str(path) for path in record["subvolumes"])
        if "" in old:
            raise UserError(
                "the old system lies at the top level itself, beside the store",
                on=foreign.disk.path,
                next_step="mount it with subvolid=5 and remove its folders by hand; leave the store's",
            )
        drop_foreign(top, old)
        for path in sorted((top / FOLDER).iterdir()):
            path.unlink()
        (top / FOLDER).rmdir()
        return old


def _record(foreign: ForeignDisk) -> dict[str, Any]:
    place = foreign.top / RECORD
    if not place.is_file():
        raise UserError(
            "nothing was adopted on this disk", on=foreign.disk.path, next_step="adopt it: rastos adopt DISK"
        )
    record = read_json(place)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        raise IntegrityError("the record of the adoption is damaged", on=place)
    return record


def _keep(foreign: ForeignDisk, plan: AdoptPlan) -> None:
    """What will be replaced on the ESP, and the partition's type; durable before anything changes."""
    folder = foreign.top / FOLDER
    folder.mkdir(exist_ok=True)
    files: dict[str, str] = {}
    for place in REPLACED:
        name = place.strip("/").replace("/", "-")
        files[place] = name if foreign.files.exists(place) else ""
        if files[place]:
            write_atomic(folder / name, foreign.files.read(place))
    record = {
        "state": "begun",
        "root": plan.subvolume,
        "subvolumes": [plan.subvolume, *plan.state.values()],
        "part_type": plan.part_type,
        "files": files,
    }
    write_json(foreign.top / RECORD, record)


def _note(top: Path, state: str) -> None:
    write_json(top / RECORD, {**read_json(top / RECORD), "state": state})


def _put_back(foreign: ForeignDisk, record: dict[str, Any]) -> None:
    esp = foreign.files
    for place, name in record["files"].items():
        if place not in REPLACED:
            raise IntegrityError("the record of the adoption names a file it can't", on=place)
        if name:
            esp.write(place, safe_join(foreign.top / FOLDER, name).read_bytes())
        elif esp.exists(place):
            esp.remove(place)
    for name in esp.list("/loader/entries"):
        if name.startswith("rastos-"):
            esp.remove(f"/loader/entries/{name}")
    esp.remove("/rastos")
    _set_type(foreign, str(record["part_type"]))


def _set_type(foreign: ForeignDisk, kind: str) -> None:
    """The root partition's type in the GPT: by it a disk of ours is known. The number and the id stay (sfdisk(8))."""
    disk = foreign.disk.path
    run(["sfdisk", "--quiet", "--no-reread", "--part-type", disk, str(foreign.root.number), kind], what="set the type")


def _database(tree: Path) -> None:
    """libalpm's database belongs to the snapshot, /var to all of them."""
    old, new = (tree / name for name in DATABASES)
    if old.is_dir() and not old.is_symlink() and not (new / "local").is_dir():
        new.parent.mkdir(parents=True, exist_ok=True)
        os.rename(old, new)


def _without_store(tree: Path) -> None:
    """A copy of the top level has what rastos put there."""
    for name in (FOLDER, COPY):
        place = tree / name
        if place.is_dir():
            for path in place.iterdir():
                path.unlink()
            place.rmdir()


def _thin(tree: Path) -> None:
    """State is not the snapshot's: of /var, /home, /root and /srv it keeps folders and what packages own."""
    target = tree / DATABASES[1]
    owned = {path for record in read_local(target).values() for path in installed_files(target, record)}
    for name in STATE:
        for folder, _, files in os.walk(tree / name):
            for file in files:
                path = os.path.join(folder, file)
                if os.path.relpath(path, tree) not in owned:
                    os.unlink(path)


def _storage(tree: Path, foreign: ForeignDisk, plan: AdoptPlan) -> None:
    write_storage(tree, foreign.esp)
    if plan.fstab:
        with open(tree / "etc/fstab", "a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in plan.fstab))
