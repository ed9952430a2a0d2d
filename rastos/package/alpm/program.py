"""The pacman program in libalpm's place, where the binding is missing or doesn't go with this host's libalpm.

It has no transaction that both removes and installs: what a new package is in conflict with goes in the installing one,
everything else before it. Each of the (at most two, then the install reasons) runs is a step that the caller records.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rastos.errors import BusyError, ExternalError, RastosError, UserError
from rastos.package.policy import matching
from rastos.progress import Progress, Step

from . import session
from .protocol import TransactionRequest
from .session import Outcome, clear_stale_lock, mark_torn

_DOING = re.compile(r"(?:installing|upgrading|downgrading|reinstalling|removing) (\S+)\.\.\.$")
_BESIDE = re.compile(r"warning: .+ (?:installed|saved) as (.+\.pac(?:new|save))$")
_BROKEN = re.compile(r"error: problem occurred while (?:installing|upgrading) (\S+)$")
_OPTIONAL = re.compile(r":: (\S+) optionally requires (\S+?):?(?: .*)?$")
_HEADINGS = (":: ", "Packages (", "Total ", "Net ", "checking ", "loading ", "looking ", "resolving ", "(", "Optional ")
_YES_TO_CONFLICTS = "4"  # ALPM_QUESTION_CONFLICT_PKG: turns the answer of --noconfirm round
_SOME = 500  # names in one run of `pacman -D`


def run_program(request: TransactionRequest, progress: Progress, record: Callable[[str], None]) -> Outcome:
    """Carry out a request with the pacman program; `record` hears what is done. Errors as `session.run_transaction`."""
    from rastos.host import require_programs, working_directory

    require_programs("pacman")
    held = matching(request.remove, request.hold) if request.hold and not request.force_hold else ()
    if held:
        raise UserError(f"{', '.join(held)} shall never be removed", on=request.root, next_step="nothing was changed")
    clear_stale_lock(Path(request.database) / "db.lck", progress)
    for folder in (Path(request.database), Path(request.cache)):
        folder.mkdir(parents=True, exist_ok=True)
    alone = [name for name in request.remove if name not in request.conflicting]
    total = len(request.install) + len(request.remove)
    with working_directory(Path(request.cache).parent, "pacman") as work:
        config = work / "pacman.conf"
        config.write_text(configuration(request), encoding="utf-8", errors="surrogateescape")
        with progress.step("changing packages with pacman", total=total, unit="packages") as step:
            program = _Program(request, config, step)
            only = ["--dbonly"] if request.dbonly else []
            if alone:
                # what comes in afterwards may be what others need in its place; the plan has seen to it
                unchecked = ["-dd"] if request.files else []
                program.run(["-R", *unchecked, *only, *(["--print"] if not request.commit else []), *alone])
                record("removed")
            if request.files:
                overwrite = [word for pattern in request.overwrite for word in ("--overwrite", pattern)]
                check = [] if request.commit else ["--print"]
                program.run(["-U", "--ask", _YES_TO_CONFLICTS, *only, *overwrite, *check, *request.files])
                record("unpacked")
            if request.commit:
                program.reasons()
            step.outcome = f"{len(request.install)} in, {len(request.remove)} out"
    program.outcome.add = tuple(sorted(name for _, name, _ in request.install))
    program.outcome.remove = tuple(sorted(request.remove))
    return program.outcome


def configuration(request: TransactionRequest) -> str:
    """The pacman.conf of one request. No signature levels: rastos has verified every file."""
    lines = [
        "[options]",
        f"RootDir = {request.root}",
        f"DBPath = {request.database}",
        f"CacheDir = {request.cache}",
        *(f"HookDir = {folder}" for folder in request.hookdirs),
        "LogFile = /dev/null",
        "NoProgressBar",
        f"Architecture = {platform.machine()}",
        "SigLevel = Never",
        "LocalFileSigLevel = Never",
        *(["CheckSpace"] if os.path.exists("/etc/mtab") and session.crash_at != "unchecked" else []),
        *(f"NoExtract = {pattern}" for pattern in request.noextract),
        *(f"NoUpgrade = {pattern}" for pattern in request.noupgrade),
    ]
    if any("\n" in line for line in lines):
        raise UserError("a path or pattern with a line break", on=request.root, next_step="correct it in packages.toml")
    return "\n".join(lines) + "\n"


class _Program:
    def __init__(self, request: TransactionRequest, config: Path, step: Step) -> None:
        self.request = request
        self.config = config
        self.step = step
        self.outcome = Outcome()
        self.root = os.path.realpath(request.root).rstrip("/")
        self.done = 0
        self.package = ""
        self.failed: list[str] = []
        self.broken: list[str] = []

    def run(self, words: Sequence[str]) -> None:
        from rastos.host import run

        argv = ["pacman", "--config", str(self.config), "--noconfirm", *words]
        self.failed.clear()
        database = Path(self.request.database)
        done = run(argv, check=False, on_line=self._line, guarded=True, what="run pacman")
        if done.status != 0:
            clear_stale_lock(database / "db.lck", Progress())
            mark_torn(database, self.broken)
            raise self._failure(argv, done.status, done.stderr or done.stdout)

    def reasons(self) -> None:
        """Write the install reasons that pacman doesn't know by itself."""
        for option, names in (("--asdeps", self.request.dependencies), ("--asexplicit", self.request.explicit)):
            for start in range(0, len(names), _SOME):
                self.run(["-D", option, *names[start : start + _SOME]])

    def _line(self, line: str) -> None:
        if found := _DOING.match(line):
            self.package = found[1]
            self.step.advance(self.done, self.package)
            self.done += 1
        elif found := _BESIDE.match(line):
            self.outcome.config_files.append(found[1].removeprefix(self.root))
        elif found := _OPTIONAL.match(line):
            self._warn(f"{found[1]} can make use of {found[2]}, which is removed")
        elif line.startswith("error: "):
            self.failed.append(line.removeprefix("error: "))
            if found := _BROKEN.match(line):
                self.broken.append(found[1])
            self.step.note(line.removeprefix("error: "), "warning")
        elif line.startswith("warning: "):
            self._warn(line.removeprefix("warning: "))
        elif " exists in filesystem" in line or " exists in both " in line or line.startswith(":: removing "):
            self.failed.append(line)
        elif line and not line.startswith(_HEADINGS):
            self.step.note(f"{self.package}: {line}" if self.package else line, "log")

    def _warn(self, text: str) -> None:
        if session.worth_telling(text):
            self.outcome.warnings.append(text)
        self.step.note(text, "log")

    def _failure(self, argv: Sequence[str], status: int, tail: str) -> RastosError:
        said, detail = " ".join(self.failed), "\n".join(self.failed)
        root = self.request.root
        if "unable to lock database" in said:
            return BusyError("the package database is locked", on=root, holder="another package program")
        if full := session.disk_full(detail, root):
            return full
        if status > 0 and self.failed:
            if "-D" in argv or not self.package:
                step = "see the list; nothing was changed by this step"
            else:
                step = "see the list; what was complete before stays, the rest was not begun"
            return UserError(f"pacman refuses: {self.failed[0]}", on=root, next_step=step, detail=detail)
        return ExternalError(
            f"pacman ended with status {status}",
            on=root,
            next_step="run the command again, it completes what is missing",
            argv=argv,
            status=status,
            tail=tail[-4000:],
        )
