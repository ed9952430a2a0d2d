"""Checking installed files against what their packages recorded, as `pacman -Qkk` does (but for times)."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rastos.progress import Progress

from .database import read_local
from .graph import Graph
from .mtree import MtreeEntry, read_mtree
from .ownership import place_in
from .records import PackageRecord, parse_fields
from .target import Target

_KINDS = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "link": stat.S_ISLNK}
_BLOCK = 1 << 20
# what the kernel or systemd mounts there has its own mode, and so have the folders under it
_MOUNT_POINTS = frozenset({"proc", "sys", "dev", "run", "tmp"})
_SETTLED = "rastos-settled.json"
Overrides = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Finding:
    """One path that isn't as it was installed; `backup`: a configuration file, which may be edited."""

    package: str
    path: str
    problems: tuple[str, ...]
    backup: bool = False


@dataclass(frozen=True)
class Verification:
    """What was checked: packages and files counted, findings by package and path; `unlisted` have no list of files."""

    packages: int
    files: int
    findings: tuple[Finding, ...]
    unlisted: tuple[str, ...] = ()

    @property
    def altered(self) -> tuple[Finding, ...]:
        """Findings that are not configuration."""
        return tuple(item for item in self.findings if not item.backup)


def verify(target: Target, names: Sequence[str], progress: Progress, *, no_extract: Sequence[str] = ()) -> Verification:
    """Check these packages, or all. Paths that `no_extract` keeps out are not missed. UserError: not installed."""
    packages = read_local(target.database)
    graph = Graph(packages)
    chosen = [graph.record(name) for name in names] or [packages[name] for name in sorted(packages)]
    lists: list[tuple[PackageRecord, frozenset[str], tuple[MtreeEntry, ...]]] = []
    unlisted = []
    for record in chosen:
        folder = target.database / "local" / f"{record.name}-{record.version}"
        if (folder / "mtree").is_file():
            lists.append((record, frozenset(backup_digests(folder)), read_mtree(folder / "mtree")))
        else:
            unlisted.append(record.name)
    overrides = {**_overrides(target.root), **settled(target)}
    total = sum(len(entries) for _, _, entries in lists)
    findings: list[Finding] = []
    with progress.step("verifying", total=total, unit="files") as step:
        done = 0
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            jobs = [pool.submit(_check, target.root, *item, tuple(no_extract), overrides) for item in lists]
            for (record, _, entries), job in zip(lists, jobs, strict=True):
                findings += job.result()
                done += len(entries)
                step.advance(done, record.name)
        step.outcome = f"{total} files, {len(findings)} altered"
    return Verification(len(chosen), total, tuple(findings), tuple(unlisted))


def altered_packages(target: Target, progress: Progress, *, no_extract: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of packages with altered files that are not configuration."""
    found = verify(target, (), progress, no_extract=no_extract)
    return tuple(dict.fromkeys(item.package for item in found.altered))


def backup_digests(folder: Path) -> dict[str, str]:
    """Configuration files of an installed package and the MD5 they came with (`%BACKUP%` in `files`)."""
    path = folder / "files"
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    pairs = (line.partition("\t") for line in parse_fields(text).get("BACKUP", ()))
    return {name: digest for name, _, digest in pairs}


def settle(target: Target, names: Iterable[str]) -> None:
    """Note owners and modes that the packages' own scripts have just changed, as what these files shall have.

    Kept in `rastos-settled.json` of the database. Content is not: a script that changes its package's files is a finding.
    """
    from rastos.host import write_json

    packages, known = read_local(target.database), settled(target)
    owned: dict[str, tuple[int, int, int]] = {}
    for name in names:
        record = packages.get(name)
        listed = target.database / "local" / f"{name}-{record.version}" / "mtree" if record else None
        for entry in read_mtree(listed) if listed and listed.is_file() else ():
            known.pop(entry.path, None)
            if entry.kind == "link" or entry.path in _MOUNT_POINTS:
                continue
            try:
                status = (target.root / entry.path).lstat()
            except OSError:
                continue
            found = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
            if _KINDS[entry.kind](status.st_mode) and found != (entry.uid, entry.gid, entry.mode & 0o7777):
                owned[entry.path] = found
    if owned or known != settled(target):
        write_json(
            target.database / _SETTLED, {path: list(values) for path, values in sorted({**known, **owned}.items())}
        )


def settled(target: Target) -> dict[str, tuple[int, int, int]]:
    """What `settle` has noted: path → user, group, mode."""
    from rastos.host import read_json

    path = target.database / _SETTLED
    values = read_json(path) if path.is_file() else {}
    return {name: (int(item[0]), int(item[1]), int(item[2])) for name, item in values.items() if len(item) == 3}


def _check(
    root: Path,
    record: PackageRecord,
    backup: frozenset[str],
    entries: Iterable[MtreeEntry],
    no_extract: tuple[str, ...],
    overrides: Overrides,
) -> list[Finding]:
    found = []
    for entry in entries:
        problems = _problems(root, entry, overrides)
        kept_out = problems and any(fnmatchcase(entry.path, text) for text in no_extract)
        if problems and not kept_out:
            found.append(Finding(record.name, f"/{entry.path}", tuple(problems), entry.path in backup))
    return found


def _problems(root: Path, entry: MtreeEntry, overrides: Overrides) -> list[str]:
    path = root / entry.path
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ["No such file or directory"]
    except OSError as error:
        return [str(error.strerror)]
    if entry.kind == "dir" and stat.S_ISLNK(status.st_mode) and _leads_to_a_folder(root, entry.path):
        return []  # a folder that was moved and has a link in its place: pacman takes that too
    if not _KINDS.get(entry.kind, stat.S_ISREG)(status.st_mode):
        return ["File type mismatch"]
    if entry.path in _MOUNT_POINTS:
        return []
    found = []
    uid, gid, mode = overrides.get(entry.path, (entry.uid, entry.gid, entry.mode))
    if status.st_uid != uid:
        found.append("UID mismatch")
    if status.st_gid != gid:
        found.append("GID mismatch")
    if entry.kind == "link":
        return found + (["Symlink path mismatch"] if os.readlink(path) != entry.link else [])
    if stat.S_IMODE(status.st_mode) != mode & 0o7777:
        found.append("Permissions mismatch")
    if entry.kind == "file":
        if status.st_size != entry.size:
            found.append("Size mismatch")
        elif entry.sha256 and _digest(path) != entry.sha256:
            found.append("SHA256 checksum mismatch")
    return found


def _leads_to_a_folder(root: Path, path: str) -> bool:
    """Whether a link stands for a folder of the tree, or of what is mounted there later (/var/lock → /run/lock)."""
    folder = place_in(root, f"{path}/.x").rpartition("/")[0]
    return folder.partition("/")[0] in _MOUNT_POINTS or (root / folder).is_dir()


def _overrides(root: Path) -> Overrides:
    """Owners and modes the system's packages have settled with dpkg-statoverride(1)."""
    found: dict[str, tuple[int, int, int]] = {}
    listed = root / "var/lib/dpkg/statoverride"
    if not listed.is_file():
        return found
    users, groups = _numbers(root / "etc/passwd"), _numbers(root / "etc/group")
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) == 4 and words[0] in users and words[1] in groups:
            plain = place_in(root, words[3])
            found[plain] = (users[words[0]], groups[words[1]], int(words[2], 8))
    return found


def _numbers(path: Path) -> dict[str, int]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    rows = (line.split(":") for line in text.splitlines())
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    # not through a link that was put in its place meanwhile
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
