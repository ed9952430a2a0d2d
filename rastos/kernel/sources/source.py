"""What a kernel source is, whatever it came from: its digest, its tree, and what is remembered of both.

Trees lie in <cache>/sources/<id>/tree beside source.json, which is written last: a folder without it is an unfinished one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rastos.errors import HostError, UserError
from rastos.host import digest_of, read_json, sha256_file, write_json
from rastos.progress import Progress

MIRROR = "https://cdn.kernel.org/pub/linux/kernel"


@dataclass(frozen=True, slots=True)
class Source:
    """Which source: `kind` deb, kernel.org, git, tarball, folder or patched; `digest` changes when its content does.

    `digest` is empty where only the download can tell it. `version` is the kernel's ("6.12.117"; empty where it isn't
    known before unpacking), `tree` the folder it is or will be in, `epoch` the time (seconds since 1970) that builds are
    stamped with, 0 until unpacked. `address` is a URL, `revision` a git commit, `keyring` what a signature is held to.
    """

    kind: str
    id: str
    title: str
    digest: str
    version: str
    tree: Path
    origin: Path | None = None
    package: str = ""
    package_version: str = ""
    epoch: int = 0
    address: str = ""
    revision: str = ""
    sha256: str = ""
    keyring: Path | None = None
    base: Source | None = None
    patches: tuple[tuple[Path, int], ...] = ()

    @property
    def unpacked(self) -> bool:
        """Whether the tree is there and complete."""
        return self.kind == "folder" or (self.tree.parent / "source.json").is_file()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: `text` as on the command line (None: the newest that apt offers), and what goes with it."""

    text: str | None
    cache: Path
    ref: str | None = None
    mirror: str = MIRROR
    keyring: Path | None = None


class Kind(Protocol):
    """One kind of source; each is a module."""

    def find(self, wanted: Wanted) -> Source | None:
        """The source where `wanted` is of this kind, None where it isn't; nothing is fetched that is large."""

    def open(self, source: Source, cache: Path, progress: Progress) -> Source:
        """Fetch, verify and unpack into `source.tree`; the source with digest and epoch as found (0: the Makefile's time)."""


def known(source: Source) -> Source:
    """With what source.json says of the unpacked tree; unchanged where there is none.

    Raises HostError where the unpacked tree is of another content than the source now has.
    """
    if source.kind == "folder" or not source.unpacked:
        return source
    facts = read_json(source.tree.parent / "source.json")
    if source.digest and facts["digest"] != source.digest:
        raise HostError(
            f"{'apt offers' if source.kind == 'deb' else 'there is'} other content under the name of the source that is"
            " unpacked here",
            on=source.tree.parent,
            next_step="remove that folder and run the command again",
        )
    return replace(
        source, version=str(facts["version"]), epoch=int(facts["epoch"]), digest=source.digest or str(facts["digest"])
    )


def settle(source: Source) -> Source:
    """Write source.json beside a tree that is complete."""
    makefile = source.tree / "Makefile"
    facts = {
        "kind": source.kind,
        "title": source.title,
        "digest": source.digest,
        "version": kernel_version(makefile),
        "epoch": source.epoch or int(makefile.stat().st_mtime),
    }
    require_architecture(source.tree)
    write_json(source.tree.parent / "source.json", facts)
    return known(source)


def require_architecture(tree: Path) -> None:
    """Raise UserError for a tree that can't be built for x86_64."""
    folders = sorted(path.name for path in (tree / "arch").glob("*") if path.is_dir())
    if folders and "x86" not in folders:
        raise UserError(
            f"this kernel source is for another architecture: it has arch/{', arch/'.join(folders[:4])} and no arch/x86",
            on=tree,
            next_step="rastos builds x86_64 kernels: give a source that has arch/x86",
        )


def kernel_version(makefile: Path) -> str:
    """VERSION.PATCHLEVEL.SUBLEVEL and EXTRAVERSION of a kernel's top Makefile. Raises UserError where it isn't one."""
    found: dict[str, str] = {}
    try:
        with makefile.open(encoding="utf-8", errors="replace") as file:
            for line, _ in zip(file, range(40), strict=False):
                item = re.match(r"(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)\s*=\s*(\S*)", line)
                if item:
                    found[item[1]] = item[2]
    except OSError:
        pass
    if not found.get("VERSION", "").isdigit() or not found.get("PATCHLEVEL", "").isdigit():
        raise UserError(
            "this is not a kernel source tree: its Makefile names no version",
            on=makefile.parent,
            next_step="give the top folder of an unpacked kernel source",
        )
    numbers = f"{found['VERSION']}.{found['PATCHLEVEL']}.{found.get('SUBLEVEL') or '0'}"
    return numbers + found.get("EXTRAVERSION", "")


def remembered(path: Path, cache: Path, stat_print: str, compute: Callable[[], str]) -> str:
    """A content digest, computed again only when sizes or times changed."""
    memory = cache / "digests" / f"{digest_of(str(path))[:24]}.json"
    if memory.is_file():
        before = read_json(memory)
        if before["stat"] == stat_print:
            return str(before["digest"])
    digest = compute()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"path": str(path), "stat": stat_print, "digest": digest})
    except OSError:
        pass  # a cache of somebody else's, or full: it is computed again the next time
    return digest


def file_digest(path: Path, cache: Path) -> str:
    """A file's SHA-256, computed again only when the file changed: nobody sets a time of change (ctime) back."""
    facts = os.stat(path)
    print_ = f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"
    return remembered(path, cache, print_, lambda: sha256_file(path))
