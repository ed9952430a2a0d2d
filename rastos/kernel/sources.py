"""Where kernel source comes from: a source package of the host's apt, a tarball, or a folder.

`find_source` says which and gives its digest without unpacking; `open_source` gives the unpacked tree. Trees lie in
<cache>/sources/<id>/tree beside source.json, which is written last: a folder without it is an unfinished one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import digest_of, read_json, run, sha256_file, write_json
from rastos.kernel import apt
from rastos.kernel.unpack import unpack_deb, unpack_tarball
from rastos.progress import Progress

UNPACKED = 2 << 30  # bytes a kernel tree takes unpacked, archive included


@dataclass(frozen=True, slots=True)
class Source:
    """Which source: `kind` deb, tarball or folder; `digest` changes when its content does.

    `version` is the kernel's ("6.12.117"; empty for a tarball not unpacked yet), `tree` the folder it is or will be
    in, `epoch` the time (seconds since 1970) that builds are stamped with, 0 until unpacked.
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

    @property
    def unpacked(self) -> bool:
        """Whether the tree is there and complete."""
        return self.kind == "folder" or (self.tree.parent / "source.json").is_file()


def find_source(wanted: str | None, cache: Path) -> Source:
    """The source for `wanted`: a folder, a tarball, a version that apt offers, or (None) the newest that apt offers.

    Raises UserError for something that is none of these, HostError where apt knows no source package.
    """
    if wanted is not None:
        path = Path(wanted).expanduser()
        if path.is_dir():
            return _folder(path.resolve(), cache)
        if path.is_file():
            return _tarball(path.resolve(), cache)
        if "/" in wanted or not re.fullmatch(r"(linux-source-)?\d[\w.+~-]*", wanted):
            raise UserError(
                f"there is no kernel source at '{wanted}'",
                next_step="give a folder, a tarball, or a version that apt offers, such as 6.12",
            )
    offer = apt.choose(wanted, cache)
    name = re.sub(r"[^\w.+-]", "-", f"debian-{offer.version}")
    tree = cache / "sources" / name / "tree"
    version = re.split(r"[-~+]", offer.version.partition(":")[2] or offer.version)[0]
    return _known(
        Source(
            kind="deb",
            id=name,
            title=f"{offer.package} {offer.version}",
            digest=offer.sha256,
            version=version,
            tree=tree,
            package=offer.package,
            package_version=offer.version,
        )
    )


def open_source(source: Source, cache: Path, progress: Progress) -> Source:
    """The same with its tree on disk, version and epoch filled in; unpacks once.

    Raises IntegrityError for an archive that isn't what its digest says or that reaches outside its folder.
    """
    if source.unpacked:
        return _known(source)
    if source.kind == "deb":
        with progress.step(f"Fetch {source.title}") as step:
            archive = apt.download(apt.Offer(source.package, source.package_version, source.digest), cache, step)
            step.outcome = f"{archive.stat().st_size / 1e6:,.0f} MB, signature and digest verified by apt"
        with progress.step(f"Unpack {source.title}") as step:
            size = unpack_deb(archive, source.tree, cache / "work")
            step.outcome = f"{size / 1e9:.1f} GB in {source.tree}"
        archive.unlink()
    else:
        assert source.origin is not None
        with progress.step(f"Unpack {source.title}") as step:
            size = unpack_tarball(source.origin, source.tree, cache / "work")
            step.outcome = f"{size / 1e9:.1f} GB in {source.tree}"
    makefile = source.tree / "Makefile"
    write_json(
        source.tree.parent / "source.json",
        {
            "kind": source.kind,
            "title": source.title,
            "digest": source.digest,
            "version": kernel_version(makefile),
            "epoch": int(makefile.stat().st_mtime),
        },
    )
    return _known(source)


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


def _known(source: Source) -> Source:
    """With what source.json says of the unpacked tree; unchanged where there is none."""
    if source.kind == "folder" or not source.unpacked:
        return source
    facts = read_json(source.tree.parent / "source.json")
    if source.kind == "deb" and facts["digest"] != source.digest:
        raise HostError(
            "apt offers other content under the version of the source that is unpacked here",
            on=source.tree.parent,
            next_step="remove that folder and run the command again",
        )
    return replace(source, version=str(facts["version"]), epoch=int(facts["epoch"]))


def _tarball(path: Path, cache: Path) -> Source:
    digest = _remembered(path, cache, _stat_print(path), lambda: sha256_file(path))
    tree = cache / "sources" / f"tarball-{digest[:16]}" / "tree"
    return _known(Source("tarball", tree.parent.name, path.name, digest, "", tree, origin=path))


def _folder(path: Path, cache: Path) -> Source:
    version = kernel_version(path / "Makefile")
    for stale in (".config", "include/config", "include/generated/autoconf.h"):
        if (path / stale).exists():
            raise UserError(
                f"the kernel source tree has build output in it ({stale}), which make refuses",
                on=path,
                next_step=f"keep what you need of it, then run: make -C {path} mrproper",
            )
    files = sorted(_files(path))
    print_ = digest_of(*(f"{name}\0{size}\0{changed}\n" for name, size, changed in files))
    digest = _remembered(
        path, cache, print_, lambda: digest_of(*(f"{name}\0{_content(path / name)}\n" for name, _, _ in files))
    )
    return Source("folder", f"folder-{digest_of(str(path))[:12]}", str(path), digest, version, path, origin=path)


def _files(top: Path) -> list[tuple[str, int, int]]:
    """Every file below `top` but version control: name, size, time of change (ns)."""
    found: list[tuple[str, int, int]] = []
    pending = [str(top)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git":
                        pending.append(entry.path)
                else:
                    facts = entry.stat(follow_symlinks=False)
                    found.append((entry.path[len(str(top)) + 1 :], facts.st_size, facts.st_mtime_ns))
    return found


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return sha256_file(path) if path.is_file() else "special"


def _remembered(path: Path, cache: Path, stat_print: str, compute: Callable[[], str]) -> str:
    """A content digest, computed again only when sizes or times changed."""
    memory = cache / "digests" / f"{digest_of(str(path))[:24]}.json"
    if memory.is_file():
        known = read_json(memory)
        if known["stat"] == stat_print:
            return str(known["digest"])
    digest = compute()
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_json(memory, {"path": str(path), "stat": stat_print, "digest": digest})
    return digest


def _stat_print(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ino}"


def toolchain() -> tuple[str, ...]:
    """The first lines of what the compiler and linker say of themselves: part of the build key."""
    return tuple(
        run([program, "--version"], what=f"ask {program} for its version").stdout.partition("\n")[0]
        for program in ("gcc", "ld")
    )
