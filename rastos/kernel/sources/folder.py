"""A kernel tree on this machine, built in place (its output goes elsewhere): its digest covers every file as it is now."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.errors import UserError
from rastos.host import digest_of, find_program, run, sha256_file
from rastos.kernel.sources.source import Source, Wanted, kernel_version, remembered, require_architecture
from rastos.progress import Progress

# what the kernel's own Makefile refuses ("outputmakefile"), and what of an older build would be found by the compiler
STALE = (".config", "include/config", "include/generated", "arch/x86/include/generated")
GIT_TIMEOUT = 60.0  # seconds; a tree's index is refreshed in two


def find(wanted: Wanted) -> Source | None:
    """The tree, if `wanted` is a folder and no ref of it is asked for. Raises UserError where it can't be built from."""
    if wanted.text is None or wanted.ref is not None:
        return None
    path = Path(wanted.text).expanduser()
    if not path.is_dir():
        return None
    path = path.resolve()
    version = kernel_version(path / "Makefile")
    require_architecture(path)
    for stale in STALE:
        if (path / stale).exists():
            raise UserError(
                f"the kernel source tree has build output in it ({stale}), which a build elsewhere would mix in",
                on=path,
                next_step=f"keep what you need of it, then run: make -C {path} mrproper",
            )
    files = sorted(_files(path))
    print_ = digest_of(*(f"{name}\0{size}\0{changed}\n" for name, size, changed in files))
    digest = remembered(
        path, wanted.cache, print_, lambda: digest_of(*(f"{name}\0{_content(path / name)}\n" for name, _, _ in files))
    )
    name = f"folder-{digest_of(str(path))[:12]}"
    return Source("folder", name, f"{path}{_state(path)}", digest, version, path, origin=path)


def open(source: Source, cache: Path, progress: Progress) -> Source:
    """Nothing to do: it is there."""
    return source


def _state(path: Path) -> str:
    """For a git work tree its commit, and whether it is dirty, in brackets."""
    if not (path / ".git").exists() or find_program("git") is None:
        return ""
    # only looking: no lock in the user's repository, and no program that its configuration names
    git = ["git", "-c", f"safe.directory={path}", "-c", "core.fsmonitor=false", "-C", str(path)]
    env = {"GIT_OPTIONAL_LOCKS": "0"}
    commit = run([*git, "rev-parse", "--short=12", "HEAD"], check=False, env=env, timeout=GIT_TIMEOUT)
    changed = run([*git, "status", "--porcelain", "--no-renames"], check=False, env=env, timeout=GIT_TIMEOUT)
    if commit.status != 0:
        return ""
    count = len(changed.stdout.splitlines())
    return f" (git {commit.stdout.strip()}{f', dirty: {count} changed' if count else ''})"


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
                elif entry.name != ".git":
                    facts = entry.stat(follow_symlinks=False)
                    found.append((entry.path[len(str(top)) + 1 :], facts.st_size, facts.st_mtime_ns))
    return found


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return sha256_file(path) if path.is_file() else "special"
