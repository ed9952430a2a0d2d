"""The store: snapshots, deployments and state on a btrfs top level, with the boot entries on the ESP."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rastos.errors import HostError, IntegrityError
from rastos.host import Journal, digest_of, read_json, write_json

from . import subvolume
from .bootentry import ENTRIES, EntryName, parse_name
from .esp import Esp
from .index import Index, Stamp, indexed_snapshot, stamp_of
from .metadata import Deployment, Snapshot
from .references import resolve
from .store_info import FILE, FORMAT, keep_copy, read_info

STATE = ("var", "home", "root", "srv")
DATABASE = "usr/lib/sysimage/pacman"
FEW = 64  # files read beside the index before it is worth writing anew
MEND = "`rastos snapshot doctor --fix` writes what can be told from what is there"


class Store:
    """An opened store. Whoever opens it for writing holds the lock on the image (or the system)."""

    def __init__(self, top: Path, esp: Esp, info: dict[str, Any], *, booted: int | None = None) -> None:
        self.top = top
        self.esp = esp
        self.info = info
        self.booted = booted  # the deployment that runs now; None for the store of an image file
        self.journal = Journal(top / "journal")
        self.writable = True
        self.index = Index(top)
        self._known: dict[int, tuple[Stamp, Snapshot]] = {}
        self._index_read = False

    @classmethod
    def initialise(cls, top: Path, esp: Esp, *, root_partuuid: str, cmdline: str, uki: bool = False) -> Store:
        """Lay out an empty btrfs as a store; `uki`: its deployments boot by unified kernel images."""
        for name in ("snapshots", "deployments", "sessions", "journal", "state"):
            (top / name).mkdir()
        for name in STATE:
            subvolume.create(top / "state" / name)
        info = {
            "format": FORMAT,
            "uuid": str(uuid.uuid4()),
            "root_partuuid": root_partuuid,
            "cmdline": cmdline,
            "uki": uki,
            "next_snapshot": 0,
            "next_deployment": 1,
        }
        esp.prepare()
        write_json(top / FILE, info)
        keep_copy(top, info)
        return cls(top, esp, info)

    @classmethod
    def open(cls, top: Path, esp: Esp, *, writable: bool, booted: int | None = None) -> Store:
        """Open a store; for writing, whatever a dead command left is finished or undone first.

        Raises UserError where there is none, IntegrityError where it is of a later format.
        """
        info = read_info(top, esp)
        store = cls(top, esp, info, booted=booted)
        store.writable = writable
        if writable:
            if os.statvfs(top).f_flag & os.ST_RDONLY:
                raise HostError(
                    "the file system is read-only: it can be looked at, not changed",
                    on=top,
                    next_step="see why with `dmesg`, check it with `btrfs check`; a copy of it can be repaired",
                )
            from .recovery import recover

            keep_copy(top, info)
            recover(store)
        return store

    # snapshots

    def snapshot_path(self, number: int) -> Path:
        """Folder of a snapshot."""
        return self.top / "snapshots" / str(number)

    def tree(self, number: int) -> Path:
        """The OS tree of a snapshot."""
        return self.snapshot_path(number) / "tree"

    def numbers(self) -> list[int]:
        """Ids of the snapshots there are."""
        return sorted(int(name) for name in os.listdir(self.top / "snapshots") if name.isdigit())

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots by id; one whose metadata is lost is shown as far as its subvolume tells.

        What the index says of a file that has not changed since is taken; other files are read.
        """
        indexed = {} if self._index_read else self.index.read()
        self._index_read = True
        folder = f"{self.top}/snapshots"
        found: dict[int, Snapshot] = {}
        missed = 0
        for number in self.numbers():
            try:
                stamp = stamp_of(f"{folder}/{number}/snapshot.json")
            except OSError:
                stamp = None
            known = self._known.get(number)
            if known is not None and known[0] == stamp:
                found[number] = known[1]
                continue
            line = indexed.get(number)
            item = indexed_snapshot(line[1], number) if line is not None and line[0] == stamp else None
            if item is None:
                missed += 1
                item = self._read(number)
            if item is not None:
                found[number] = item
                if stamp is not None:
                    self._known[number] = (stamp, item)
        if self.writable and (missed > FEW or self.index.lines > 2 * len(found) + FEW):
            self.index.rewrite({number: value for number, value in self._known.items() if number in found})
        return tuple(found[number] for number in sorted(found))

    def by_number(self, number: int) -> Snapshot | None:
        """One snapshot by its id, without looking at the others."""
        return self._read(number) if (self.snapshot_path(number) / "tree").is_dir() else None

    def _read(self, number: int) -> Snapshot | None:
        try:
            return self.recorded(number)
        except IntegrityError:
            from .salvage import salvaged

            return salvaged(self, number)

    def recorded(self, number: int) -> Snapshot:
        """What snapshot.json says. Raises IntegrityError where it is lost, damaged, or another snapshot's."""
        place = self.snapshot_path(number) / "snapshot.json"
        try:
            item = _parsed(read_json(place), number)
        except OSError as error:
            raise IntegrityError(
                f"the metadata of snapshot {number} can't be read", on=place, next_step=MEND
            ) from error
        if item is None:
            raise IntegrityError(f"the metadata of snapshot {number} is damaged", on=place, next_step=MEND)
        return item

    def snapshot(self, reference: int | str) -> Snapshot:
        """By id, name, tag, start of the uuid, or the words latest, next, booted, good. Raises UserError."""
        return resolve(self, reference)

    def update(self, snapshot: Snapshot) -> None:
        """Record changed metadata (name, tags, note, parent, ...) of a snapshot that is there, by atomic replace.

        Keys that a later rastos wrote stay.
        """
        place = self.snapshot_path(snapshot.id) / "snapshot.json"
        try:
            before = read_json(place)
        except (OSError, IntegrityError):
            before = {}
        write_json(place, {**(before if isinstance(before, dict) else {}), **snapshot.to_json()})
        self.remember(snapshot)

    def remember(self, snapshot: Snapshot) -> None:
        """Put what was just written into the index."""
        stamp = stamp_of(self.snapshot_path(snapshot.id) / "snapshot.json")
        self._known[snapshot.id] = (stamp, snapshot)
        self.index.append(stamp, snapshot)

    # deployments

    def deployment_path(self, number: int) -> Path:
        """Folder of a deployment."""
        return self.top / "deployments" / str(number)

    def deployments(self) -> tuple[Deployment, ...]:
        """All deployments by number."""
        return tuple(self.deployment(number) for number in self.deployment_numbers())

    def deployment(self, number: int) -> Deployment:
        """One deployment. Raises IntegrityError where its record is gone."""
        place = self.deployment_path(number) / "deployment.json"
        if not place.is_file():
            raise IntegrityError(f"deployment {number} has no record", on=place, next_step=MEND)
        try:
            return Deployment.from_json(read_json(place))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise IntegrityError(f"the record of deployment {number} is damaged", on=place, next_step=MEND) from error

    def readable_deployments(self) -> tuple[Deployment, ...]:
        """Those deployments whose record can be read; `rastos snapshot doctor` names the others."""
        found = []
        for number in self.deployment_numbers():
            try:
                found.append(self.deployment(number))
            except (IntegrityError, OSError, ValueError, TypeError, KeyError):
                continue
        return tuple(found)

    def deployment_numbers(self) -> list[int]:
        """Numbers of the deployments there are."""
        return sorted(int(name) for name in os.listdir(self.top / "deployments") if name.isdigit())

    def entries(self) -> list[EntryName]:
        """Boot entries of ours on the ESP, by number."""
        found = [parse_name(name) for name in self.esp.list(ENTRIES)]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.number)

    def current(self) -> Deployment | None:
        """The deployment that boots next: the newest one with an entry that is not marked bad."""
        numbers = [entry.number for entry in self.entries() if entry.state != "bad"]
        return self.deployment(max(numbers)) if numbers else None

    def running(self) -> Deployment | None:
        """The deployment that runs now, where this is the store of a running system and its record is there."""
        there = self.booted is not None and (self.deployment_path(self.booted) / "deployment.json").is_file()
        return self.deployment(self.booted) if there and self.booted is not None else None

    # numbers

    def take_number(self, kind: str) -> int:
        """The next id ("snapshot" or "deployment"); written down before it is used, so it is never given twice."""
        number = int(self.info[f"next_{kind}"])
        folder = self.top / f"{kind}s"
        known = self.index.last() if kind == "snapshot" else -1
        taken = any((folder / f"{prefix}{number}").exists() for prefix in ("", ".new-"))
        if taken or known >= number or kind != "snapshot":
            # the counter is behind (an old store.json was put back): what is on disk counts
            names = [name.removeprefix(".new-") for name in os.listdir(folder)]
            number = max(number, known + 1, *(int(name) + 1 for name in names if name.isdigit()))
        self.info[f"next_{kind}"] = number + 1
        write_json(self.top / FILE, self.info)
        return number

    def set_unified(self, unified: bool) -> None:
        """Whether the next deployments boot by unified kernel images."""
        if bool(self.info.get("uki")) != unified:
            self.info["uki"] = unified
            write_json(self.top / FILE, self.info)
            keep_copy(self.top, self.info)

    def sync(self) -> None:
        """Commit the file system."""
        subvolume.sync(self.top)


def _parsed(value: Any, number: int) -> Snapshot | None:
    """Metadata as read; None where it is not a snapshot's, or another's."""
    try:
        item = Snapshot.from_json(value)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return item if item.id == number else None


def package_names(tree: Path) -> dict[str, str]:
    """Installed packages, name to version as libalpm records it (folders of the local database)."""
    local = tree / DATABASE / "local"
    if not local.is_dir():
        return {}
    parts = [path.name.rsplit("-", 2) for path in local.iterdir() if path.is_dir()]
    return {name: f"{version}-{release}" for name, version, release in (item for item in parts if len(item) == 3)}


def explicitly_installed(tree: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of these packages that were asked for, not brought in by others (%REASON% of libalpm's local database)."""
    found = []
    installed = package_names(tree)
    for name in names:
        place = tree / DATABASE / "local" / f"{name}-{installed.get(name, '')}" / "desc"
        lines = place.read_text(errors="replace").splitlines() if place.is_file() else []
        if "%REASON%" not in lines or lines[lines.index("%REASON%") + 1 :][:1] != ["1"]:
            found.append(name)
    return tuple(found)


def package_digest(packages: dict[str, str]) -> str:
    """One digest over all packages and versions."""
    return digest_of(*(f"{name} {version}" for name, version in sorted(packages.items())))
