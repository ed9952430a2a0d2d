"""Looking into package files before libalpm unpacks them as root: nothing in them may reach outside the tree.

What was found is remembered by the file's digest, so that a package is walked through once, whatever happens to it later.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.progress import Progress

from .members import Member, read_members
from .policy import TransactionPolicy
from .records import PackageRecord, parse_package_info

FORMAT = 1
_MAX_MEMBERS = 1_000_000
_MAX_SIZE = 1 << 36  # bytes of one package unpacked
_SLACK = 64 << 20  # bytes a package may always unpack to
_SET_ID = 0o6000
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Inspection:
    """What a package file holds: `paths` (folders end with a slash, as in libalpm's lists), which of them are links, which
    run with other rights (path, what gives them), bytes unpacked, its `backup` list, whether it has an install script."""

    name: str
    version: str
    paths: tuple[str, ...]
    links: frozenset[str]
    privileged: tuple[tuple[str, str], ...]
    unpacked: int
    backup: frozenset[str]
    script: bool


@dataclass(frozen=True)
class Candidate:
    """A package file to inspect. `digest` is that of the file, where somebody has verified it."""

    path: Path
    record: PackageRecord
    digest: str = ""


def inspect_packages(
    candidates: Sequence[Candidate], memory: Path, policy: TransactionPolicy, progress: Progress
) -> dict[str, Inspection]:
    """Look into every file, several at once; `memory` is the folder of what was seen before. By package name.

    IntegrityError names the first package and member that is refused, UserError what the policy forbids.
    """
    from concurrent.futures import ThreadPoolExecutor

    found: dict[str, Inspection] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        seen = pool.map(lambda item: remembered(item, memory, policy.max_unpacked), candidates)
        try:
            for candidate, inspection in zip(candidates, seen, strict=True):
                _same(candidate, inspection)
                if candidate.record.installed_size:
                    _within(candidate, inspection.unpacked, candidate.record.installed_size, policy.max_unpacked)
                found[inspection.name] = inspection
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _privileges(found.values(), policy)
    return found


def inspect_package(candidate: Candidate, ratio: float) -> Inspection:
    """Refuse `..`, absolute names, members below a link of the same package, devices, more bytes than said. IntegrityError."""
    from .database import open_decompressed

    reader = _Reader(candidate, ratio)
    try:
        with open_decompressed(candidate.path) as stream:
            for member in read_members(stream):
                reader.take(member)
    except (ValueError, EOFError, OSError) as error:
        raise IntegrityError(
            f"a damaged package: {error}", on=candidate.path, next_step="nothing was installed; fetch it again"
        ) from error
    return reader.inspection()


class _Reader:
    def __init__(self, candidate: Candidate, ratio: float) -> None:
        self.candidate = candidate
        self.ratio = ratio
        self.said = candidate.record.installed_size  # what the database says; where it doesn't, the package's own word
        self.info: PackageRecord | None = None
        self.paths: dict[str, str] = {}
        self.links: set[str] = set()
        self.parents: set[str] = set()
        self.privileged: list[tuple[str, str]] = []
        self.total = 0
        self.script = False

    def take(self, member: Member) -> None:
        name = _plain(member.name)
        reason = self._refused(member, name)
        self.total += member.size
        if len(self.paths) > _MAX_MEMBERS or self.total > _MAX_SIZE:
            reason = "it is absurdly large"
        if reason:
            raise IntegrityError(
                f"the package {self.candidate.path.name} is hostile or damaged: {reason}",
                on=member.name,
                next_step="nothing was installed; don't use this package or where it came from",
            )
        if name == ".PKGINFO":
            self.info = parse_package_info(member.content.decode("utf-8", "replace"), {})
        _within(self.candidate, self.total, self.said or (self.info.installed_size if self.info else 0), self.ratio)
        if name.startswith(".") and "/" not in name and member.kind == "file":
            self.script |= name == ".INSTALL"
            return
        if not name:
            return
        self.paths[name] = member.kind
        if member.kind == "link":
            self.links.add(name)
        parent = name
        while (parent := parent.rpartition("/")[0]) and parent not in self.parents:
            self.parents.add(parent)
        if member.kind in ("file", "hard link") and (member.capabilities or member.mode & _SET_ID):
            what = "capabilities" if member.capabilities else "set-user-id" if member.mode & 0o4000 else "set-group-id"
            self.privileged.append((name, what))

    def inspection(self) -> Inspection:
        if self.info is None:
            raise ValueError("no .PKGINFO")
        return Inspection(
            name=self.info.name,
            version=self.info.version,
            paths=tuple(sorted(name + "/" if kind == "folder" else name for name, kind in self.paths.items())),
            links=frozenset(self.links),
            privileged=tuple(self.privileged),
            unpacked=self.total,
            backup=frozenset(self.info.backup),
            script=self.script,
        )

    def _refused(self, member: Member, name: str) -> str:
        parts = name.split("/")
        if member.name.startswith("/") or ".." in parts or "" in parts[:-1]:
            return "a path outside the tree"
        if "\n" in name:
            return "a line break in a name, which no list of files can hold"
        if member.kind in ("device", "pipe"):
            return "a device node or pipe"
        if member.kind == "hard link":
            target = _plain(member.link)
            if member.link.startswith("/") or ".." in target.split("/"):
                return "a hard link to outside the tree"
            if self.paths.get(target) not in ("file", "hard link"):
                return "a hard link to what isn't a file of the package"
        if any("/".join(parts[:count]) in self.links for count in range(1, len(parts))):
            return "a file that would be written through a link"
        if member.kind == "link" and name in self.parents:
            return "a link in the place of a folder that has files"
        if name in self.paths and (member.kind, self.paths[name]) != ("folder", "folder"):
            return "a path that comes twice"
        return ""


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return "" if name == "." else name.rstrip("/")


def _within(candidate: Candidate, total: int, said: int, ratio: float) -> None:
    if total > max(said * ratio, _SLACK):
        raise IntegrityError(
            f"{candidate.record.name} unpacks to more than {total >> 20} MiB, it is said to have {said >> 20} MiB",
            on=candidate.path,
            next_step="nothing was installed; don't use this package or where it came from",
        )


def _same(candidate: Candidate, inspection: Inspection) -> None:
    wanted = candidate.record
    if (inspection.name, inspection.version) != (wanted.name, wanted.version):
        raise IntegrityError(
            f"the file holds {inspection.name} {inspection.version}, not {wanted.name} {wanted.version}",
            on=candidate.path,
            next_step="nothing was installed; the repository is damaged or lies",
        )


def _privileges(found: Iterable[Inspection], policy: TransactionPolicy) -> None:
    if policy.setuid == "allow":
        return
    allowed = {path.strip("/") for path in policy.setuid} if policy.setuid != "deny" else set()
    lines = [
        f"{item.name}: /{path} ({what})" for item in found for path, what in item.privileged if path not in allowed
    ]
    if lines:
        raise UserError(
            f"{len(lines)} {'files' if len(lines) > 1 else 'file'} would run with other rights, which the setuid rule forbids",
            on="setuid",
            next_step="leave the packages out, or add the paths to `setuid` in packages.toml; nothing was changed",
            detail="\n".join(lines),
        )


# what was seen before


def remembered(candidate: Candidate, memory: Path, ratio: float) -> Inspection:
    """`inspect_package`, or what it found when the same file was here before. IntegrityError as there."""
    from rastos.host import sha256_file

    digest = candidate.digest if _DIGEST.fullmatch(candidate.digest) else sha256_file(candidate.path)
    place = memory / f"{digest}.json"
    try:
        values = json.loads(place.read_bytes())
        if values["format"] == FORMAT:
            return _read(values)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never seen, or torn by a power cut
    made = inspect_package(candidate, ratio)
    memory.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.new")
    # no fsync: what a power cut leaves of it is recognised, and made again
    temporary.write_text(json.dumps(_written(made)), encoding="utf-8")
    os.replace(temporary, place)
    return made


def _written(made: Inspection) -> dict[str, object]:
    return {
        "format": FORMAT,
        "name": made.name,
        "version": made.version,
        "paths": "\n".join(made.paths),
        "links": sorted(made.links),
        "privileged": made.privileged,
        "unpacked": made.unpacked,
        "backup": sorted(made.backup),
        "script": made.script,
    }


def _read(values: dict[str, object]) -> Inspection:
    text, privileged = str(values["paths"]), values["privileged"]
    assert isinstance(privileged, list)
    return Inspection(
        name=str(values["name"]),
        version=str(values["version"]),
        paths=tuple(text.split("\n")) if text else (),
        links=frozenset(_texts(values["links"])),
        privileged=tuple((str(path), str(what)) for path, what in privileged),
        unpacked=int(str(values["unpacked"])),
        backup=frozenset(_texts(values["backup"])),
        script=bool(values["script"]),
    )


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


__all__ = ["Candidate", "Inspection", "inspect_package", "inspect_packages", "remembered"]
