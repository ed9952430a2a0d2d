"""A recipe's git repository: cloned, brought up to date, checked out without hooks, filters or links."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, IntegrityError, UserError

from .recipe import Recipe, parse_srcinfo
from .rpc import checked_name

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
# nothing of the user's or the repository's own configuration runs a program here
_SAFE = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=false"),
    *("-c", "protocol.ext.allow=never", "-c", "submodule.recurse=false", "-c", "core.attributesFile=/dev/null"),
    *("-c", "advice.detachedHead=false", "-c", "core.quotePath=false"),
)
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Checkout:
    """A recipe at hand: its folder, the commit, and the commit that was reviewed last (empty: none)."""

    folder: Path
    commit: str
    reviewed: str
    recipe: Recipe


def check_out(base: str, address: str, cache: Path) -> Checkout:
    """Clone or update a recipe. UserError: there is none of that name; IntegrityError: it isn't what it says it is."""
    folder = cache / checked_name(base)
    if not (folder / ".git").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        part = cache / f".{base}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            git(cache, "clone", "--quiet", "--no-tags", "--no-hardlinks", "--", address, part)
            part.rename(folder)
        except ExternalError as error:
            step = "check the name and the address (--aur, RASTOS_AUR)"
            raise UserError(f"there is no recipe '{base}'", on=address, next_step=step, detail=error.tail) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    else:
        git(folder, "fetch", "--quiet", "--no-tags", "--", address, "HEAD")
        git(folder, "reset", "--quiet", "--hard", "FETCH_HEAD")
        git(folder, "clean", "-fdxq")
    commit = git(folder, "rev-parse", "HEAD").strip()
    srcinfo = folder / ".SRCINFO"
    if srcinfo.is_symlink() or not srcinfo.is_file() or not (folder / "PKGBUILD").is_file():
        raise IntegrityError(f"'{base}' has no PKGBUILD with a .SRCINFO", on=address)
    recipe = parse_srcinfo(srcinfo.read_text(encoding="utf-8", errors="replace"), on=f"{base}/.SRCINFO")
    if recipe.base != base:
        raise IntegrityError(f"the recipe of '{base}' calls itself '{recipe.base}'", on=address)
    return Checkout(folder, commit, reviewed_commit(folder), recipe)


def reviewed_commit(folder: Path) -> str:
    """The commit that was accepted last, if the repository still has it."""
    mark = folder.with_name(f"{folder.name}.reviewed")
    commit = mark.read_text().strip() if mark.is_file() else ""
    if not _COMMIT.match(commit):
        return ""
    try:
        git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    except ExternalError:
        return ""
    return commit


def git(folder: Path, *words: str | Path) -> str:
    """Run git in a folder; its output."""
    from rastos.host import run

    environment = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "HOME": "/nonexistent",
    }
    argv: list[str | Path] = ["git", *_SAFE, "-c", f"safe.directory={folder}", *words]
    return run(argv, cwd=folder, env=environment, timeout=_TIMEOUT, what=f"git {words[0]}").stdout
