"""The EFI system partition: mounted, or inside an image file where the host's kernel may have no vfat."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Protocol

from rastos.errors import ExternalError, HostError, IntegrityError
from rastos.host import run, sync_directory, working_directory, write_atomic

from .bootentry import ENTRIES, KERNELS

# Growing a folder of FAT and making one are not one write: what is torn there takes the whole folder away. So the folders
# are made wide, and some are kept in store, while nothing boots from them yet (docs/commit-protocol.md).
SPARE = ".spare-"
SPARES = 24
FILLERS = 30  # files with names of 6 slots of 32 bytes, made and removed
# said of a loop device, which has no geometry; mtools goes by what the file system says
NO_GEOMETRY = re.compile(r"Could not get geometry of device \([^)]*\)\s*")
ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}


class Esp(Protocol):
    """What the commit protocol needs of the ESP. Paths are absolute within it, with `/`."""

    def list(self, directory: str) -> list[str]:
        """Names in a folder; [] where there is none."""

    def read(self, path: str) -> bytes:
        """A file's content."""

    def read_all(self, directory: str) -> dict[str, bytes]:
        """The files of a folder, name to content; {} where there is none. For folders of small files."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""

    def put(self, path: str, data: bytes) -> None:
        """Write a file under its own name and make it durable: for names that nothing reads yet."""

    def write(self, path: str, data: bytes | Path) -> None:
        """Write a file under a temporary name, make it durable, give it its name; folders are made."""

    def rename(self, old: str, new: str) -> None:
        """Rename within a folder, durably."""

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with what is in it."""

    def free(self) -> int:
        """Free bytes."""

    def size(self) -> int:
        """The partition's size in bytes."""

    def prepare(self) -> None:
        """Lay out the folders, before anything boots from them."""


class MountedEsp:
    """The ESP of a running system, mounted at a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _at(self, path: str) -> Path:
        return self.directory / path.lstrip("/")

    def list(self, directory: str) -> list[str]:
        place = self._at(directory)
        return sorted(name for name in os.listdir(place) if not name.startswith(SPARE)) if place.is_dir() else []

    def read(self, path: str) -> bytes:
        return self._at(path).read_bytes()

    def read_all(self, directory: str) -> dict[str, bytes]:
        place = self._at(directory)
        return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} if place.is_dir() else {}

    def exists(self, path: str) -> bool:
        return self._at(path).exists()

    def put(self, path: str, data: bytes) -> None:
        place = self._at(path)
        self._make_folder(place.parent)
        with open(place, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(place.parent)

    def write(self, path: str, data: bytes | Path) -> None:
        place = self._at(path)
        self._make_folder(place.parent)
        write_atomic(place, data.read_bytes() if isinstance(data, Path) else data)
        _sync_file(place)

    def _make_folder(self, place: Path) -> None:
        """Durable when this returns: an fsync of what is in a folder says nothing of the folder's own name."""
        if place.is_dir() or place == self.directory:
            return
        self._make_folder(place.parent)
        spare = min(place.parent.glob(f"{SPARE}*"), default=None)
        if spare is None:
            place.mkdir()
            sync_directory(place.parent)
        else:
            os.rename(spare, place)
            sync_directory(place)  # first: the new name points nowhere until this is written
            sync_directory(place.parent)
            self._refuse_twin(place)

    @staticmethod
    def _refuse_twin(folder: Path) -> None:
        """vfat writes a folder's new name and takes the old one away in two sectors: cut between, one folder has two names.

        Nothing boots from it then, but what goes into one of them would change the other.
        """
        mark = f".{secrets.token_hex(4)}.new"
        (folder / mark).touch()
        try:
            twin = next((path for path in folder.parent.iterdir() if path != folder and (path / mark).exists()), None)
        finally:
            (folder / mark).unlink()
        if twin is not None:
            raise IntegrityError(
                f"{twin.name} and {folder.name} are one folder of the ESP: power was lost while it got its name",
                on=folder.parent,
                next_step="let `fsck.vfat -a` mend the ESP, unmounted; then give the command again",
            )

    def rename(self, old: str, new: str) -> None:
        os.rename(self._at(old), self._at(new))
        # vfat gives the new name an empty file, takes the old name away, and writes where the content is with the inode. In this
        # order that is the last sector, and the commit: before it the loader finds nothing in the entry and passes it over
        sync_directory(self._at(new).parent)
        _sync_file(self._at(new))

    def remove(self, path: str) -> None:
        place = self._at(path)
        if place.is_dir():
            for name in os.listdir(place):
                self.remove(f"{path}/{name}")
            if place.parent == self._at(KERNELS):  # a folder of a kernel becomes a spare one
                names = (place.with_name(f"{SPARE}{number:03d}-folder") for number in range(1000))
                spare = next(name for name in names if not name.exists())
                os.rename(place, spare)
                sync_directory(spare)
                place = spare
            else:
                place.rmdir()
        elif place.exists():
            # name and clusters are not freed in one write: first it gets a name that nothing starts from
            hidden = place if place.name.endswith(".new") else place.with_name(place.name + ".new")
            os.rename(place, hidden)
            sync_directory(place.parent)
            hidden.unlink()
        sync_directory(place.parent)

    def free(self) -> int:
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def size(self) -> int:
        found = os.statvfs(self.directory)
        return found.f_blocks * found.f_frsize

    def prepare(self) -> None:
        for folder in (KERNELS, ENTRIES):
            self._at(folder).mkdir(parents=True, exist_ok=True)


def _sync_file(path: Path) -> None:
    """fsync a file under the name it has now: what it has had before is in another place of the folder."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class MtoolsEsp:
    """The ESP inside a file, `size` bytes from `offset`, by mtools; the file is fsynced after each change.

    mtools is one process per step, so what was seen is remembered: whoever opened the image holds its lock, nobody else
    changes the ESP meanwhile. `epoch`: the time that files get (seconds since 1970) instead of now.
    """

    def __init__(self, file: Path, offset: int, size: int, *, epoch: int | None = None) -> None:
        self.file = file
        self.offset = offset
        self.bytes = size
        self.epoch = epoch
        self._paths: dict[str, bool] | None = None  # every path, and whether it is a folder
        self._small: dict[str, bytes] = {}  # contents read before

    def _mtools(self, program: str, *words: str | Path, stdin: bytes | None = None, empty: bool = False) -> str:
        argv = [program, "-i", f"{self.file}@@{self.offset}", *words]
        # FAT has local times: without a zone they hang on the host's
        fixed = {} if self.epoch is None else {"SOURCE_DATE_EPOCH": str(self.epoch), "TZ": "UTC"}
        done = run(argv, env={**ENVIRONMENT, **fixed}, check=False, stdin=stdin, timeout=120)
        # mdir of an empty file system: status 1 and no word (`empty`)
        said = NO_GEOMETRY.sub("", done.stderr).strip()
        if done.status != 0 and not (empty and not said.removeprefix('mdir: File "::/" not found')):
            self._forget()
            if "Disk full" in done.stderr or "No free" in done.stderr:
                raise HostError(
                    "the ESP is full", on=self.file, next_step="delete old deployments, or make a larger image"
                )
            raise ExternalError(
                f"{program} failed on the ESP",
                on=self.file,
                argv=done.argv,
                status=done.status,
                tail=said,
            )
        return done.stdout

    def _forget(self) -> None:
        self._paths = None
        self._small.clear()

    def _sync(self) -> None:
        number = os.open(self.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def _tree(self) -> dict[str, bool]:
        if self._paths is None:
            text = self._mtools("mdir", "-/", "-b", "::/", empty=True)
            rows = [line.strip().removeprefix("::") for line in text.splitlines()]
            self._paths = {row.rstrip("/"): row.endswith("/") for row in rows if row.strip("/")}
        return self._paths

    def list(self, directory: str) -> list[str]:
        lead = directory.rstrip("/") + "/"
        names = (path[len(lead) :] for path in self._tree() if path.startswith(lead))
        return sorted(name for name in names if "/" not in name and not name.startswith(SPARE))

    def read(self, path: str) -> bytes:
        if path not in self._small:
            with working_directory(Path("/tmp"), "rastos-esp") as place:
                self._mtools("mcopy", "-n", f"::{path}", place / "file")
                return (place / "file").read_bytes()
        return self._small[path]

    def read_all(self, directory: str) -> dict[str, bytes]:
        paths = {name: f"{directory}/{name}" for name in self.list(directory)}
        files = {name: path for name, path in paths.items() if not self._tree()[path]}
        unread = [path for path in files.values() if path not in self._small]
        if unread:
            with working_directory(Path("/tmp"), "rastos-esp") as place:
                self._mtools("mcopy", "-n", *(f"::{path}" for path in unread), place)
                for path in unread:
                    self._small[path] = (place / path.rpartition("/")[2]).read_bytes()
        return {name: self._small[path] for name, path in files.items()}

    def exists(self, path: str) -> bool:
        return path.rstrip("/") in self._tree()

    def put(self, path: str, data: bytes) -> None:
        self._make_folders(path.rpartition("/")[0])
        self._copy(data, path)
        self._sync()

    def write(self, path: str, data: bytes | Path) -> None:
        self._make_folders(path.rpartition("/")[0])
        temporary = f"{path}.new"
        self._copy(data, temporary)
        self._sync()
        if self.exists(path):
            self._mtools("mdel", f"::{path}")
        self._move(temporary, path)
        self._sync()

    def _copy(self, data: bytes | Path, path: str) -> None:
        if isinstance(data, Path):
            self._mtools("mcopy", "-o", data, f"::{path}")
            self._small.pop(path, None)
        else:
            self._mtools("mcopy", "-o", "-", f"::{path}", stdin=data)
            self._small[path] = data
        self._tree()[path] = False

    def _move(self, old: str, new: str) -> None:
        self._mtools("mren", f"::{old}", f"::{new}")
        if self._tree().get(old, True):  # a folder: what is in it moves too
            self._forget()
            return
        self._tree()[new] = self._tree().pop(old)
        self._small.pop(new, None)
        if old in self._small:
            self._small[new] = self._small.pop(old)

    def _make_folders(self, folder: str) -> None:
        have = ""
        for part in folder.strip("/").split("/"):
            have += f"/{part}"
            if not part or self.exists(have):
                continue
            spare = next((path for path in self._tree() if path.rpartition("/")[2].startswith(SPARE)), None)
            if spare is not None and spare.rpartition("/")[0] == have.rpartition("/")[0]:
                self._rename_empty(spare, have)
            else:
                self._mtools("mmd", f"::{have}")
                self._tree()[have] = True

    def _rename_empty(self, old: str, new: str) -> None:
        self._mtools("mren", f"::{old}", f"::{new}")
        del self._tree()[old]
        self._tree()[new] = True

    def prepare(self) -> None:
        spares = [self._spare(number) for number in range(SPARES)]
        names = [f"{number}{'x' * 60}" for number in range(10, 10 + FILLERS)]
        for folder in (KERNELS, ENTRIES):
            self._make_folders(folder)
        with working_directory(Path("/tmp"), "rastos-esp") as place:
            for name in names:
                (place / name).touch()
            self._mtools("mcopy", *(place / name for name in names), f"::{ENTRIES}")
        self._mtools("mdel", *(f"::{ENTRIES}/{name}" for name in names))
        self._mtools("mmd", *(f"::{path}" for path in spares))
        self._forget()
        self._sync()

    def rename(self, old: str, new: str) -> None:
        self._move(old, new)
        self._sync()

    def remove(self, path: str) -> None:
        if not self.exists(path):
            return
        if not self._tree()[path]:
            self._remove_file(path)
        elif path.rpartition("/")[0] != KERNELS or any(self._tree()[f"{path}/{name}"] for name in self.list(path)):
            self._mtools("mdeltree", f"::{path}")
            self._forget()
        else:
            self._empty(path)
        self._sync()

    def _remove_file(self, path: str) -> None:
        """Name and clusters are not freed in one write: first it gets a name that nothing starts from."""
        hidden = path if path.endswith(".new") else f"{path}.new"
        if hidden != path:
            self._move(path, hidden)
            self._sync()
        self._mtools("mdel", f"::{hidden}")
        self._tree().pop(hidden, None)
        self._small.pop(hidden, None)

    def _empty(self, folder: str) -> None:
        """A folder of a kernel becomes a spare one."""
        files = [f"{folder}/{name}" for name in self.list(folder)]
        if files:
            self._mtools("mdel", *(f"::{path}" for path in files))
            self._sync()
            for path in files:
                del self._tree()[path]
                self._small.pop(path, None)
        self._rename_empty(folder, next(filter(lambda path: path not in self._tree(), map(self._spare, range(1000)))))

    @staticmethod
    def _spare(number: int) -> str:
        """As long as the name that it gets, so that this fits in its place."""
        return f"{KERNELS}/{SPARE}{number:03d}-folder"

    def free(self) -> int:
        text = self._mtools("mdir", "::/", empty=True)
        found = re.findall(r"([\d ]+) bytes free", text)
        return int(found[-1].replace(" ", "")) if found else 0

    def size(self) -> int:
        return self.bytes
