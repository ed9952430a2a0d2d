"""A source with patches: a copy of its tree, hard-linked, in which each patch was applied in order by patch(1).

The copy is kept under the digest of source and patches; the source itself is never written to. A folder of patches has a
`series` as quilt(1) writes it: one file name a line, perhaps with -pN, and comments.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import Completed, digest_of, require_programs, run, safe_join, working_directory
from rastos.kernel.sources.source import Source, known
from rastos.kernel.sources.unpack import inspect
from rastos.progress import Progress

FUZZ = 2  # lines of context that may differ, as patch and quilt do
_SERIES = re.compile(r"(\S+)(?:\s+-p([0-9]))?\s*(?:#.*)?")
_FILE = re.compile(r"^(?:checking|patching) (?:file|symbolic link) '?([^'\n]*?)'?(?: \(.*\))?$", re.MULTILINE)
_HUNK = re.compile(r"^Hunk #(\d+) FAILED at (\d+)", re.MULTILINE)
_WORDS = (
    (re.compile(r"Reversed \(or previously applied\) patch detected"), "it is in this source already"),
    (re.compile(r"can't find file to patch at input line (\d+)"), "it changes a file that this source doesn't have"),
    (re.compile(r"malformed patch at line (\d+)"), "it is malformed"),
    (re.compile(r"Only garbage was found"), "it holds no patch"),
    (re.compile(r"which already exists"), "it makes a file that this source already has"),
    (re.compile(r"potentially dangerous file name (.*)"), "it reaches outside the tree"),
    (re.compile(r"Invalid file name (.*)"), "it reaches outside the tree"),
)


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch file; `strip` leading folders of its paths are cut (-pN)."""

    path: Path
    strip: int = 1


def read_series(folder: Path) -> tuple[Patch, ...]:
    """The patches of a folder in the order of its `series`. Raises UserError, with the line, for one that isn't there."""
    series = folder / "series"
    try:
        lines = series.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the series of patches: {error}",
            on=series,
            next_step="a folder of patches has a file `series` that names them in order",
        ) from error
    found = []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        item = _SERIES.fullmatch(line)
        if not item:
            raise UserError(
                f"{series}:{number}: '{line[:60]}' is not understood", next_step="write a file name, perhaps with -pN"
            )
        path = safe_join(folder, item[1])
        if not path.is_file():
            raise UserError(f"{series}:{number}: there is no patch '{item[1]}'", next_step="correct the line named")
        found.append(Patch(path, int(item[2] or 1)))
    return tuple(found)


def find(base: Source, patches: Sequence[Patch], cache: Path) -> Source:
    """The source that `base` becomes with these patches. UserError: one can't be read."""
    parts = []
    for item in patches:
        try:
            parts.append(digest_of(item.path.read_bytes(), str(item.strip)))
        except OSError as error:
            raise UserError(f"cannot read the patch: {error}", on=item.path, next_step="give a patch file") from error
    together = digest_of(*parts)
    # a folder changes under its name; what was unpacked doesn't
    of_base = f"{base.id}-{base.digest[:8]}" if base.kind == "folder" else base.id
    name = f"{of_base}+{together[:12]}"
    source = Source(
        kind="patched",
        id=name,
        title=f"{base.title} + {len(parts)} patch{'es' if len(parts) > 1 else ''}",
        digest=digest_of(base.digest, together) if base.digest else "",
        version=base.version,
        tree=cache / "sources" / name / "tree",
        base=base,
        patches=tuple((item.path, item.strip) for item in patches),
    )
    return known(source)


def of(source: Source) -> tuple[Patch, ...]:
    """The patches of a patched source."""
    return tuple(Patch(path, strip) for path, strip in source.patches)


def apply(source: Source, cache: Path, progress: Progress) -> Source:
    """Copy and patch. Raises UserError naming patch, file and hunk where one doesn't apply; nothing of it is kept then."""
    require_programs("patch", "cp")
    assert source.base is not None
    with (
        progress.step(f"Patch {source.base.title}", total=len(source.patches)) as step,
        working_directory(cache / "work", "patch-") as work,
    ):
        copy = work / "tree"
        _copy(source.base, copy)
        for number, item in enumerate(of(source), 1):
            step.advance(number - 1, item.path.name)
            fuzz = _apply(item, copy, source.base)
            if fuzz:
                step.note(f"{item.path.name}: applied with fuzz, its context differs in places", "warning")
        inspect(copy, source.patches[-1][0])
        source.tree.parent.mkdir(parents=True, exist_ok=True)
        if source.tree.exists():  # left by a run that was killed before it wrote source.json
            shutil.rmtree(source.tree)
        copy.rename(source.tree)
        step.outcome = f"{len(source.patches)} applied"
    return replace(source, epoch=source.base.epoch)


def _copy(base: Source, copy: Path) -> None:
    """patch(1) writes a new file and renames it, so a link never changes what it was linked to. A folder of the user's is
    copied: it may be edited in place."""
    linked = base.kind != "folder"
    argv = ["cp", "--archive", *(["--link"] if linked else ["--reflink=auto"]), "--", str(base.tree), str(copy)]
    done = run(argv, check=False, what="copy the kernel source")
    if done.status != 0 and linked and "cross-device" in done.stderr:
        shutil.rmtree(copy, ignore_errors=True)
        done = run(["cp", "--archive", "--", str(base.tree), str(copy)], check=False)
    if done.status != 0:
        full = "No space left" in done.stderr
        raise HostError(
            "the disk is full" if full else "could not copy the kernel source",
            on=copy.parent.parent,
            next_step="free space and run the command again" if full else "read the words of cp",
            detail=done.stderr[-2000:],
        )
    shutil.rmtree(copy / ".git", ignore_errors=True)


def _apply(item: Patch, tree: Path, base: Source) -> bool:
    """One patch, tried first; whether it needed fuzz."""
    argv = ["patch", f"-p{item.strip}", "--batch", "--forward", f"--fuzz={FUZZ}", "--no-backup-if-mismatch"]
    argv += ["--reject-file=-", f"--input={item.path.absolute()}"]
    tried = run([*argv, "--dry-run"], cwd=tree, check=False, what=f"try {item.path.name}")
    said = tried.stdout + tried.stderr
    dangerous = _WORDS[-1][0].search(said) or _WORDS[-2][0].search(said)
    if tried.status != 0 or dangerous or not _FILE.search(said):
        raise _refused(item, tried, base)
    done = run(argv, cwd=tree, check=False, what=f"apply {item.path.name}")
    if done.status != 0:
        raise _refused(item, done, base)
    return " with fuzz " in done.stdout


def _refused(item: Patch, tried: Completed, base: Source) -> UserError:
    said = tried.stdout + tried.stderr
    if "No space left" in said:
        raise HostError("the disk is full", on=item.path, next_step="free space and run the command again")
    why = next((words for pattern, words in _WORDS if pattern.search(said)), "")
    failed = _HUNK.search(said)
    before = said[: failed.start()] if failed else said
    files = _FILE.findall(before)
    where = f"{files[-1]}, hunk {failed[1]} at line {failed[2]}" if failed and files else files[-1] if files else ""
    if not why:
        why = "its context is not there" if failed else "patch refuses it"
    return UserError(
        f"the patch {item.path.name} doesn't apply: {f'{where}: ' if where else ''}{why}",
        on=base.title,
        next_step="adapt the patch to this source, or take it out of the series; the source is unchanged",
        detail=said.strip()[-3000:],
    )
