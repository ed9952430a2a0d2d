"""Building a recipe: makepkg as nobody, in a disposable copy of a tree, without network once the sources are there.

The tree is shown through an overlay: what the build or its dependencies write stays in a scratch folder that is deleted. The
recipe's own code runs as a user id that owns nothing, with no groups, no way to more privileges, and in a PID namespace that
dies with it. It sees the tree's files (as any user of that tree would), /build, and no home folder.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, IntegrityError, UserError
from rastos.progress import Progress, Step

from ..channels import Channel
from ..inspection import Candidate, inspect_package
from ..plan import Change
from ..policy import TransactionPolicy
from ..repository import LocalRepository, package_record
from .sources import Checkout

BUILD_USER = 60_321  # an id that no account has; it owns /build and nothing else
HOST = Path("/")
_HIDDEN = ("root", "home", "srv", "mnt", "media", "opt", "boot", "var/lib/rastos", "var/cache/rastos")
_FOLDERS = ("recipe", "home", "work", "sources", "out")
_CONFIGURATION = """\
[[ -r /etc/makepkg.conf ]] && . /etc/makepkg.conf
PKGEXT='.pkg.tar.zst'
SRCEXT='.src.tar.gz'
COMPRESSZST=(zstd -c -T0 -)
PACKAGER='rastos <rastos@localhost>'
MAKEFLAGS='-j{jobs}'
BUILDDIR=/build/work
PKGDEST=/build/out
SRCDEST=/build/sources
SRCPKGDEST=/build/out
LOGDEST=/build/work
"""


@dataclass(frozen=True)
class Built:
    """What a build made: (name, version) of every package, now in the local repository; seconds it took."""

    base: str
    packages: tuple[tuple[str, str], ...]
    seconds: float


def build_recipe(
    checkout: Checkout,
    repository: LocalRepository,
    channels: Sequence[Channel],
    progress: Progress,
    *,
    base: Path,
    cache: Path,
    jobs: int = 2,
    check: bool = True,
    skip_pgp: bool = False,
    timeout: float = 7200.0,
) -> Built:
    """Build and add to the repository. `base` is the tree whose copy it is built in; `/`: this host, as it is.

    In another tree the dependencies are installed into the copy by libalpm first; on the host they have to be there, but
    for packages built before. UserError, ExternalError (makepkg failed: its last lines), IntegrityError (the result isn't
    what the recipe says).
    """
    from rastos.host import private_mounts, require_programs, require_root, working_directory

    require_root("build packages")
    if base == HOST:
        require_programs("makepkg", "fakeroot", "setpriv")
    private_mounts()
    started = time.monotonic()
    recipe = checkout.recipe
    if not {"any", os.uname().machine} & set(recipe.arch):
        raise UserError(f"{recipe.base} is not for {os.uname().machine}", on=", ".join(recipe.arch))
    with working_directory(cache / "aur-builds", "build-") as work, ExitStack() as stack:
        root = stack.enter_context(_disposable(base, work))
        _lay_out(checkout, work / "build", jobs)
        (root / "build").mkdir(exist_ok=True)
        with progress.step(f"{recipe.base}: dependencies") as step:
            if base == HOST:
                step.outcome = f"{_unpack_built(root, checkout, repository, work)} built before; the host's own"
            else:
                step.outcome = f"{_install(root, checkout, channels, cache, progress)} packages"
        _make(root, checkout, work, progress, check=check, skip_pgp=skip_pgp, timeout=timeout)
        results = _results(checkout, work / "build/out")
        for path in results:
            repository.add(path)
        packages = tuple((record.name, record.version) for record in map(package_record, results))
    return Built(recipe.base, packages, time.monotonic() - started)


@contextmanager
def _disposable(base: Path, work: Path) -> Iterator[Path]:
    """A copy of a tree that takes no time and leaves nothing."""
    from rastos.host import mounted, overlaid

    root, scratch = work / "root", work / "scratch"
    root.mkdir()
    scratch.mkdir()
    with ExitStack() as stack:
        if work.resolve().is_relative_to(base.resolve()):  # the scratch folder may not lie inside the tree
            stack.enter_context(mounted("tmpfs", scratch, "tmpfs", ("mode=0755",)))
        stack.enter_context(overlaid(base, scratch, root))
        if base == HOST:
            for name in _HIDDEN:
                if (root / name).is_dir() and not (root / name).is_symlink():
                    stack.enter_context(mounted("tmpfs", root / name, "tmpfs", ("mode=0755", "size=1m")))
        yield root


def _lay_out(checkout: Checkout, build: Path, jobs: int) -> None:
    build.mkdir()
    for name in _FOLDERS[1:]:
        (build / name).mkdir()
    shutil.copytree(checkout.folder, build / "recipe", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (build / "makepkg.conf").write_text(_CONFIGURATION.format(jobs=jobs))
    for folder, names, files in os.walk(build):
        for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
            os.chown(path, BUILD_USER, BUILD_USER, follow_symlinks=False)
    os.chown(build / "makepkg.conf", 0, 0)


def _install(root: Path, checkout: Checkout, channels: Sequence[Channel], cache: Path, progress: Progress) -> int:
    """Bring everything the recipe needs into the copy."""
    from ..planning import plan_change
    from ..target import target_for
    from ..transaction import apply_plan

    target = target_for(root, cache / "install")
    plan = plan_change(target, channels, Change(declared=_needed(checkout)), progress)
    apply_plan(target, channels, plan, progress)
    return len(plan.records)


def _needed(checkout: Checkout) -> tuple[str, ...]:
    recipe = checkout.recipe
    own = {name for package in recipe.packages for name in (package.name, *_plain(package.provides))}
    texts = (*recipe.depends, *recipe.makedepends, *recipe.checkdepends)
    texts += tuple(text for package in recipe.packages for text in package.depends)
    return tuple(dict.fromkeys(text for text in texts if _plain((text,))[0] not in own))


def _plain(texts: Sequence[str]) -> list[str]:
    from ..relations import parse_dependency

    return [parse_dependency(text).name for text in texts]


def _unpack_built(root: Path, checkout: Checkout, repository: LocalRepository, work: Path) -> int:
    """On the host: what the recipe needs of packages built before, unpacked into the copy."""
    from rastos.host import run_in_root

    wanted = set(_plain(_needed(checkout)))
    found = [p for p in repository.packages() if p.name in wanted or wanted & set(_plain(p.record.provides))]
    folder = root / "build/.packages"
    folder.mkdir()
    for package in found:
        inspect_package(Candidate(package.path, package.record), TransactionPolicy().max_unpacked)
        shutil.copy(package.path, folder / "package.tar.zst")
        special = [f"--exclude={name}" for name in (".PKGINFO", ".MTREE", ".BUILDINFO", ".INSTALL", ".CHANGELOG")]
        argv = [
            "tar",
            "--zstd",
            "--keep-directory-symlink",
            "-C",
            "/",
            *special,
            "-xf",
            "/build/.packages/package.tar.zst",
        ]
        with _system(root):
            run_in_root(root, argv, what=f"unpack {package.name} for the build")
    shutil.rmtree(folder)
    return len(found)


@contextmanager
def _system(root: Path) -> Iterator[None]:
    from rastos.host import system_mounts

    with system_mounts(root):
        yield


def _make(
    root: Path, checkout: Checkout, work: Path, progress: Progress, *, check: bool, skip_pgp: bool, timeout: float
) -> None:
    from rastos.host import bound, run_in_root

    name = checkout.recipe.base
    environment = {
        "HOME": "/build/home",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/bin/site_perl:/usr/bin/core_perl",
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": _epoch(checkout),
        "TMPDIR": "/tmp",
        "GIT_TERMINAL_PROMPT": "0",
    }
    always = ["--config", "/build/makepkg.conf", "--nodeps", "--noconfirm", "--nocolor"]
    phases = (
        ("sources", True, ["--nobuild", *(["--skippgpcheck"] if skip_pgp else [])]),
        ("building", False, ["--noextract", "--holdver", "--force", *([] if check else ["--nocheck"])]),
    )
    resolver = root / "etc/resolv.conf"
    with _system(root), bound(work / "build", root / "build"):
        if not resolver.exists() and Path("/etc/resolv.conf").is_file():
            resolver.unlink(missing_ok=True)  # a link to a service that doesn't run here
            shutil.copy("/etc/resolv.conf", resolver)
        for label, network, words in phases:
            with progress.step(f"{name}: {label}") as step:
                try:
                    run_in_root(
                        root,
                        ["env", "--chdir=/build/recipe", "makepkg", *always, *words],
                        env=environment,
                        network=network,
                        timeout=timeout,
                        on_line=_noted(step),
                        user=BUILD_USER,
                        what=f"build {name}",
                    )
                except ExternalError as error:
                    raise ExternalError(
                        f"{name} could not be built ({label})",
                        on=checkout.folder,
                        next_step="its last lines are below; --debug shows all; nothing was added",
                        argv=error.argv,
                        status=error.status,
                        tail=error.tail,
                    ) from error


def _noted(step: Step) -> Callable[[str], None]:
    def note(line: str) -> None:
        step.note(line, "log")

    return note


def _epoch(checkout: Checkout) -> str:
    from .sources import git

    return git(checkout.folder, "log", "-1", "--format=%ct").strip()


def _results(checkout: Checkout, folder: Path) -> list[Path]:
    """The packages made, each what the recipe says it is."""
    recipe = checkout.recipe
    paths = []
    for path in sorted(folder.iterdir()):
        if not path.name.endswith(".pkg.tar.zst"):
            continue
        if path.is_symlink() or not path.is_file():
            raise IntegrityError(f"the build of {recipe.base} left something that is no file", on=path.name)
        record = package_record(path)
        inspect_package(Candidate(path, record), TransactionPolicy().max_unpacked)
        if record.name.removesuffix("-debug") == recipe.base and record.name not in recipe.names:
            continue
        if record.name not in recipe.names:
            raise IntegrityError(f"the recipe of {recipe.base} made a package '{record.name}'", on=path.name)
        if record.version != recipe.version and not recipe.tracks_a_repository:
            said = f"the recipe says {recipe.base} {recipe.version}, it made {record.version}"
            raise IntegrityError(said, on=path.name)
        paths.append(path)
    missing = sorted(set(recipe.names) - {package_record(path).name for path in paths})
    if missing:
        raise IntegrityError(f"the build of {recipe.base} made no package '{missing[0]}'", on=recipe.base)
    return paths
