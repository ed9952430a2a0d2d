"""The EFI system partition: mounted, or inside an image file where the host's kernel may have no vfat."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from rastos.errors import ExternalError, HostError
from rastos.host import run, sync_directory, write_atomic

ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}


class Esp(Protocol):
    """What the commit protocol needs of the ESP. Paths are absolute within it, with `/`."""

    def list(self, directory: str) -> list[str]:
        """Names in a folder; [] where there is none."""

    def read(self, path: str) -> bytes:
        """A file's content."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""

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


class MountedEsp:
    """The ESP of a running system, mounted at a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _at(self, path: str) -> Path:
        return self.directory / path.lstrip("/")

    def list(self, directory: str) -> list[str]:
        place = self._at(directory)
        return sorted(os.listdir(place)) if place.is_dir() else []

    def read(self, path: str) -> bytes:
        return self._at(path).read_bytes()

    def exists(self, path: str) -> bool:
        return self._at(path).exists()

    def write(self, path: str, data: bytes | Path) -> None:
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._at(path), data.read_bytes() if isinstance(data, Path) else data)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._at(old), self._at(new))
        sync_directory(self._at(new).parent)

    def remove(self, path: str) -> None:
        place = self._at(path)
        if place.is_dir():
            for name in os.listdir(place):
                self.remove(f"{path}/{name}")
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
        sync_directory(place.parent)

    def free(self) -> int:
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def size(self) -> int:
        found = os.statvfs(self.directory)
        return found.f_blocks * found.f_frsize


class MtoolsEsp:
    """The ESP inside a file, `size` bytes from `offset`, by mtools; the file is fsynced after each change."""

    def __init__(self, file: Path, offset: int, size: int) -> None:
        self.file = file
        self.offset = offset
        self.bytes = size

    def _mtools(
        self, program: str, *words: str | Path, check: bool = True, stdin: bytes | None = None
    ) -> tuple[int, str]:
        argv = [program, "-i", f"{self.file}@@{self.offset}", *words]
        done = run(argv, env=ENVIRONMENT, check=False, stdin=stdin, timeout=120)
        if check and done.status != 0:
            if "Disk full" in done.stderr or "No free" in done.stderr:
                raise HostError(
                    "the ESP is full", on=self.file, next_step="delete old deployments, or make a larger image"
                )
            raise ExternalError(
                f"{program} failed on the ESP",
                on=self.file,
                argv=done.argv,
                status=done.status,
                tail=done.stderr.strip(),
            )
        return done.status, done.stdout

    def _sync(self) -> None:
        number = os.open(self.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def list(self, directory: str) -> list[str]:
        status, text = self._mtools("mdir", "-b", f"::{directory}", check=False)
        if status != 0:
            return []
        names = [line.strip().rstrip("/").rpartition("/")[2] for line in text.splitlines() if line.strip()]
        return sorted(name for name in names if name not in ("", ".", ".."))

    def read(self, path: str) -> bytes:
        from rastos.host import working_directory

        with working_directory(Path("/tmp"), "rastos-esp") as place:
            self._mtools("mcopy", "-n", f"::{path}", place / "file")
            return (place / "file").read_bytes()

    def exists(self, path: str) -> bool:
        folder, _, name = path.rstrip("/").rpartition("/")
        return name in self.list(folder or "/")

    def write(self, path: str, data: bytes | Path) -> None:
        folder, _, name = path.rpartition("/")
        self._make_folders(folder)
        temporary = f"{folder}/{name}.new"
        if isinstance(data, Path):
            self._mtools("mcopy", "-o", data, f"::{temporary}")
        else:
            self._mtools("mcopy", "-o", "-", f"::{temporary}", stdin=data)
        self._sync()
        self._mtools("mdel", f"::{path}", check=False)
        self._mtools("mren", f"::{temporary}", f"::{path}")
        self._sync()

    def _make_folders(self, folder: str) -> None:
        have = ""
        for part in folder.strip("/").split("/"):
            if part and part not in self.list(have or "/"):
                self._mtools("mmd", f"::{have}/{part}")
            have += f"/{part}"

    def rename(self, old: str, new: str) -> None:
        self._mtools("mren", f"::{old}", f"::{new}")
        self._sync()

    def remove(self, path: str) -> None:
        status, _ = self._mtools("mdel", f"::{path}", check=False)
        if status != 0 and self.exists(path):
            self._mtools("mdeltree", f"::{path}")
        self._sync()

    def free(self) -> int:
        _, text = self._mtools("mdir", "::/")
        found = re.findall(r"([\d ]+) bytes free", text)
        return int(found[-1].replace(" ", "")) if found else 0

    def size(self) -> int:
        return self.bytes
