"""The store: snapshots, deployments and state on a btrfs top level, with the boot entries on the ESP."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import Journal, digest_of, read_json, write_json

from . import subvolume
from .bootentry import ENTRIES, EntryName, parse_name
from .esp import Esp
from .kernels import kernel_release
from .metadata import Deployment, Snapshot

STATE = ("var", "home", "root", "srv")
DATABASE = "usr/lib/sysimage/pacman"
FORMAT = 1


class Store:
    """An opened store. Whoever opens it for writing holds the lock on the image (or the system)."""

    def __init__(self, top: Path, esp: Esp, info: dict[str, Any]) -> None:
        self.top = top
        self.esp = esp
        self.info = info
        self.journal = Journal(top / "journal")

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
        write_json(top / "store.json", info)
        return cls(top, esp, info)

    @classmethod
    def open(cls, top: Path, esp: Esp, *, writable: bool) -> Store:
        """Open a store; for writing, whatever a dead command left is finished or undone first.

        Raises UserError where there is none, IntegrityError where it is of a later format.
        """
        place = top / "store.json"
        if not place.is_file():
            raise UserError(
                "this file system holds no rastos store", on=top, next_step="make an image: `rastos image create`"
            )
        info = read_json(place)
        if info.get("format") != FORMAT:
            raise IntegrityError(
                f"store of format {info.get('format')}", next_step="use the rastos version that made it"
            )
        store = cls(top, esp, info)
        if writable:
            from .recovery import recover

            recover(store)
        return store

    # snapshots

    def snapshot_path(self, number: int) -> Path:
        """Folder of a snapshot."""
        return self.top / "snapshots" / str(number)

    def tree(self, number: int) -> Path:
        """The OS tree of a snapshot."""
        return self.snapshot_path(number) / "tree"

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots by id; one whose metadata is lost is shown as far as its subvolume tells."""
        found = []
        for path in (self.top / "snapshots").iterdir():
            if path.name.isdigit() and (path / "tree").is_dir():
                found.append(self._snapshot(path))
        return tuple(sorted(found, key=lambda item: item.id))

    def _snapshot(self, path: Path) -> Snapshot:
        try:
            return Snapshot.from_json(read_json(path / "snapshot.json"))
        except (OSError, IntegrityError, TypeError, KeyError):
            return Snapshot(
                int(path.name),
                "",
                None,
                "1970-01-01T00:00:00+00:00",
                "(metadata lost)",
                kernel=kernel_release(path / "tree"),
            )

    def snapshot(self, reference: int | str) -> Snapshot:
        """By id, name, tag, or `latest`. Raises UserError with what there is."""
        every = self.snapshots()
        text = str(reference)
        if text == "latest" and every:
            return every[-1]
        for item in every:
            if text == str(item.id):
                return item
        named = [item for item in every if text and (text == item.name or text in item.tags)]
        if named:
            return named[-1]
        known = ", ".join(str(item.id) + (f" ({item.name})" if item.name else "") for item in every[-8:])
        raise UserError(f"there is no snapshot '{reference}'", next_step=f"snapshots: {known or 'none yet'}")

    def update(self, snapshot: Snapshot) -> None:
        """Record changed metadata (name, tags, note, parent, ...) of a snapshot that is there, by atomic replace."""
        write_json(self.snapshot_path(snapshot.id) / "snapshot.json", snapshot.to_json())

    # deployments

    def deployment_path(self, number: int) -> Path:
        """Folder of a deployment."""
        return self.top / "deployments" / str(number)

    def deployments(self) -> tuple[Deployment, ...]:
        """All deployments by number."""
        folder = self.top / "deployments"
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
        return tuple(self.deployment(number) for number in numbers)

    def deployment(self, number: int) -> Deployment:
        """One deployment. Raises IntegrityError where its record is gone."""
        place = self.deployment_path(number) / "deployment.json"
        if not place.is_file():
            raise IntegrityError(f"deployment {number} has no record", on=place, next_step="deploy a snapshot again")
        return Deployment.from_json(read_json(place))

    def entries(self) -> list[EntryName]:
        """Boot entries of ours on the ESP, by number."""
        found = [parse_name(name) for name in self.esp.list(ENTRIES)]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.number)

    def current(self) -> Deployment | None:
        """The deployment that boots next: the newest one with an entry that is not marked bad."""
        numbers = [entry.number for entry in self.entries() if entry.state != "bad"]
        return self.deployment(max(numbers)) if numbers else None

    # numbers

    def take_number(self, kind: str) -> int:
        """The next id ("snapshot" or "deployment"); written down before it is used, so it is never given twice."""
        folder = self.top / f"{kind}s"
        used = [
            int(path.name.removeprefix(".new-"))
            for path in folder.iterdir()
            if path.name.removeprefix(".new-").isdigit()
        ]
        number = max(int(self.info[f"next_{kind}"]), max(used, default=-1) + 1)
        self.info[f"next_{kind}"] = number + 1
        write_json(self.top / "store.json", self.info)
        return number

    def set_unified(self, unified: bool) -> None:
        """Whether the next deployments boot by unified kernel images."""
        if bool(self.info.get("uki")) != unified:
            self.info["uki"] = unified
            write_json(self.top / "store.json", self.info)

    def sync(self) -> None:
        """Commit the file system."""
        subvolume.sync(self.top)


def package_names(tree: Path) -> dict[str, str]:
    """Installed packages, name to version as libalpm records it (folders of the local database)."""
    local = tree / DATABASE / "local"
    if not local.is_dir():
        return {}
    parts = [path.name.rsplit("-", 2) for path in local.iterdir() if path.is_dir()]
    return {name: f"{version}-{release}" for name, version, release in (item for item in parts if len(item) == 3)}


def package_digest(packages: dict[str, str]) -> str:
    """One digest over all packages and versions."""
    return digest_of(*(f"{name} {version}" for name, version in sorted(packages.items())))
