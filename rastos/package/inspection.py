"""Looking into package files before libalpm unpacks them as root: nothing in them may reach outside the tree."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path

from rastos.errors import IntegrityError

_MAX_MEMBERS = 1_000_000
_MAX_SIZE = 1 << 36  # bytes of one package unpacked


def inspect_packages(paths: Iterable[Path]) -> None:
    """Check every file. IntegrityError names the first package and member that is refused."""
    for path in paths:
        inspect_package(path)


def inspect_package(path: Path) -> None:
    """Refuse `..`, absolute names, members below a link of the same package, device nodes, and absurd sizes."""
    from .database import open_decompressed

    links: set[str] = set()
    total = 0
    try:
        with open_decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(tar):
                reason = _refused(member, links)
                total += member.size
                if number > _MAX_MEMBERS or total > _MAX_SIZE:
                    reason = "it is absurdly large"
                if reason:
                    raise IntegrityError(
                        f"the package {path.name} is hostile or damaged: {reason}",
                        on=member.name,
                        next_step="nothing was installed; don't use this package or where it came from",
                    )
                if member.issym():
                    links.add(_plain(member.name))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise IntegrityError(f"a damaged package: {error}", on=path) from error


def _refused(member: tarfile.TarInfo, links: set[str]) -> str:
    name = _plain(member.name)
    parts = name.split("/")
    if member.name.startswith("/") or ".." in parts:
        return "a path outside the tree"
    if member.ischr() or member.isblk() or member.isfifo():
        return "a device node or pipe"
    if member.islnk() and (member.linkname.startswith("/") or ".." in member.linkname.split("/")):
        return "a hard link to outside the tree"
    if any("/".join(parts[:count]) in links for count in range(1, len(parts))):
        return "a file that would be written through a link"
    return ""


def _plain(name: str) -> str:
    return name.removeprefix("./").rstrip("/")
