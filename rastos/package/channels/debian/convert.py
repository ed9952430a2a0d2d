"""One .deb into one pacman package, streaming: merged /usr, conffiles as backup, control files where dpkg has them."""

from __future__ import annotations

import io
import posixpath
import tarfile
from pathlib import Path
from typing import IO, cast

from rastos.errors import IntegrityError
from rastos.package.archive import PackageMetadata, PackageWriter, package_writer

from .control import paragraph
from .deb import archive, control_files
from .index import Record

MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
INFO = "var/lib/dpkg/info"
# base-files brings the links in the place of directories; a package of files below them needs no order
_LINKS = ("bin", "sbin", "lib", "lib64")


def merged(path: str) -> str:
    """A path below the root (no leading slash) with /bin, /sbin, /lib* moved into /usr."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED else path


def link_target(path: str, target: str) -> str | None:
    """The target for a symbolic link that was at `path` before the merge; None where it would now name itself."""
    if target.startswith("/"):
        return None if merged(posixpath.normpath(target).lstrip("/")) == merged(path) else target
    # joined at "/", so that a target cannot climb out of the root
    resolved = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target)).lstrip("/")
    if merged(resolved) == merged(path):
        return None
    climbs = target.count("..") > path.count("/")
    if merged(path) == path and merged(resolved) == resolved and not climbs:
        return target
    return posixpath.relpath("/" + merged(resolved), "/" + posixpath.dirname(merged(path)))


def info_name(control: dict[str, str]) -> str:
    """How dpkg names the control files of a package."""
    name = control["Package"]
    return f"{name}:{control['Architecture']}" if control.get("Multi-Arch") == "same" else name


def convert(deb: Path, record: Record, output: Path) -> Path:
    """Write the pacman package for `deb` into `output`. IntegrityError: it is not that package, or hostile."""
    files = control_files(deb)
    control = paragraph(files.get("control", (b"", 0))[0].decode("utf-8", "replace"))
    if (control.get("Package"), control.get("Version")) != (record.name, record.debian_version):
        raise IntegrityError(
            f"the file holds {control.get('Package')} {control.get('Version')},"
            f" not {record.name} {record.debian_version}",
            on=deb,
        )
    with package_writer(output, level=1) as writer:
        conversion = _Conversion(writer, deb)
        if record.name == "base-files":
            conversion.links()
        with archive(deb, "data") as data:
            for member in data:
                conversion.member(data, member)
        conffiles = files.get("conffiles", (b"", 0))[0].decode().splitlines()
        backup = tuple(merged(line[1:]) for line in conffiles if line.startswith("/") and merged(line[1:]) in writer)
        conversion.control(info_name(control), files)
        metadata = PackageMetadata(
            name=record.name,
            version=record.version,
            description=record.description,
            arch=record.arch,
            url=record.url,
            license=(),
            depends=record.depends,
            provides=record.provides,
            conflicts=record.conflicts,
            backup=backup,
            builddate=conversion.newest,
            packager=control.get("Maintainer", ""),
        )
        return writer.finish(metadata, output, epoch=conversion.newest)


class _Conversion:
    def __init__(self, writer: PackageWriter, deb: Path) -> None:
        self._writer = writer
        self._deb = deb
        self._symlinks: set[str] = set()
        self._listed: list[str] = ["/."]
        self.newest = 0

    def links(self) -> None:
        self._writer.directory("usr")
        for name in _LINKS:
            self._writer.directory(f"usr/{name}")
            self._writer.symlink(name, f"usr/{name}")

    def member(self, data: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        old = self._checked(member.name)
        if not old:
            return
        path = merged(old)
        mtime = max(0, int(member.mtime))
        self.newest = max(self.newest, mtime)
        if any(path.startswith(link + "/") for link in self._symlinks if len(link) < len(path)):
            raise IntegrityError(
                "a package that writes through its own symbolic link", on=f"{self._deb.name}: {member.name}"
            )
        owner = {"uid": member.uid, "gid": member.gid, "mtime": mtime}
        mode = member.mode & 0o7777
        if member.isdir():
            self._writer.directory(path, mode=mode, **owner)
        elif member.isreg():
            content = data.extractfile(member)
            self._writer.file(path, cast("IO[bytes]", content), member.size, mode=mode, **owner)
        elif member.islnk():
            self._writer.hardlink(path, merged(self._checked(member.linkname)), mode=mode, **owner)
        elif member.issym():
            target = link_target(old, member.linkname)
            if target is None or (old in MERGED):
                return
            self._writer.symlink(path, target, **owner)
            self._symlinks.add(path)
        else:
            raise IntegrityError("a package with a device node or pipe", on=f"{self._deb.name}: {member.name}")
        # as dpkg lists them: maintainer scripts ask for the names before the merge
        self._listed.append("/" + old)

    def control(self, name: str, files: dict[str, tuple[bytes, int]]) -> None:
        for directory in ("var", "var/lib", "var/lib/dpkg", INFO):
            self._writer.directory(directory, mtime=self.newest)
        files = {**files, "list": (("\n".join(self._listed) + "\n").encode(), 0o644)}
        for kind in sorted(files):
            content, mode = files[kind]
            path = f"{INFO}/{name}.{kind}"
            mode = 0o755 if mode & 0o111 else 0o644
            self._writer.file(path, io.BytesIO(content), len(content), mode=mode, mtime=self.newest)

    def _checked(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/") or "\n" in name or "\0" in name:
            raise IntegrityError("a package with a path outside its root", on=f"{self._deb.name}: {name}")
        path = posixpath.normpath(name)
        return "" if path == "." else path
