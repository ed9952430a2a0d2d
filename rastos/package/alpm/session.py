"""Running the worker: request out, messages in, and what to make of its death."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import rastos
from rastos.errors import BusyError, ExternalError, HostError, RastosError, UserError
from rastos.progress import Level, Progress, Step

from .protocol import (
    Asked,
    ConfigFileMade,
    Done,
    Failed,
    HookStarted,
    Limited,
    Logged,
    Message,
    OptionalRemoved,
    Prepared,
    Progressed,
    ScriptPrinted,
    TransactionRequest,
    decode,
    encode,
)

if TYPE_CHECKING:
    from rastos.host import Popen

# pm_errno (alpm.h, enum _alpm_errno_t)
_HANDLE_LOCK = 10
_NO_SPACE = os.strerror(errno.ENOSPC)
_UNWRITTEN = ("could not extract", "could not update database", "could not create", "Write failed")
_NOISE = re.compile(
    r"^dependency cycle detected|^\S+ will be (?:installed before|removed after) its |^directory permissions differ on "
    r"\S*/(?:dev|proc|run|sys|tmp)/$|^downgrading package |-- (?:reinstalling|skipping)$",
    re.MULTILINE,
)
_NEARLY_FULL = 2 << 20  # bytes
_TOO_SMALL = "not enough free disk space"
_PIPE = -1  # subprocess.PIPE

# tests: where the worker shall die (see TransactionRequest.crash_at)
crash_at = ""


@dataclass
class Outcome:
    """What a transaction came to: names in and out, `.pacnew` and `.pacsave` files (paths in the tree), what was warned of."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    config_files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class NoBindingError(HostError):
    """pyalpm isn't there, or doesn't go with this host's libalpm."""


@dataclass(frozen=True)
class Worker:
    """A worker that waits for its request."""

    process: Popen[bytes]
    errors: IO[bytes]
    argv: tuple[str, ...]


@contextmanager
def started_worker() -> Iterator[Worker]:
    """Start a worker for one request. It takes its time to load, so it is started before there is something to do."""
    from rastos.host import private_mounts, spawn

    private_mounts()  # it has to see what is mounted for the transaction
    argv = (sys.executable, "-m", "rastos.package.alpm.worker")
    env = {"PYTHONPATH": str(Path(rastos.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as errors:
        with spawn(argv, env=env, stdin=_PIPE, stdout=_PIPE, stderr=errors, death_signal=signal.SIGTERM) as process:
            yield Worker(process, errors, argv)


def run_transaction(request: TransactionRequest, progress: Progress, worker: Worker | None = None) -> Outcome:
    """Carry out one transaction in a child. Raises UserError (refused), BusyError, HostError, ExternalError (it died).

    A KeyboardInterrupt lets libalpm finish the package it is at; a second one kills it.
    """
    if worker is None:
        with started_worker() as worker:
            return run_transaction(request, progress, worker)
    lock = Path(request.database) / "db.lck"
    clear_stale_lock(lock, progress)
    if crash_at:
        request = replace(request, crash_at=crash_at)
    label = "installing packages" if request.install else "removing packages"
    total = len(request.install) or len(request.remove)
    process = worker.process
    assert process.stdin and process.stdout
    with progress.step(label, total=total, unit="packages") as step:
        conversation = _Conversation(step, request.root)
        try:
            process.stdin.write(encode(request))
            process.stdin.close()
            conversation.listen(process.stdout)
        except BrokenPipeError:
            pass  # it died at once; its status says how
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            conversation.listen(process.stdout)
            raise
        status = process.wait()
        if conversation.failure is not None or status != 0 or not conversation.done:
            clear_stale_lock(lock, Progress())
            mark_torn(Path(request.database), conversation.broken)
            raise conversation.failure or _died(status, worker, request)
        step.outcome = f"{len(conversation.outcome.add)} in, {len(conversation.outcome.remove)} out"
    return conversation.outcome


class _Conversation:
    """Takes the worker's messages until it is silent."""

    def __init__(self, step: Step, root: str) -> None:
        self.step = step
        self.root = root
        self.outcome = Outcome()
        self.failure: RastosError | None = None
        self.broken: tuple[str, ...] = ()
        self.done = False

    def listen(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                message = decode(line)
            except ValueError:
                continue  # torn by its death
            self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Progressed):
            if message.target and message.total:
                done = message.at - 1 + message.percent / 100
                self.step.advance(done, message.target, total=message.total)
        elif isinstance(message, Logged):
            self._warn(message.text, "warning" if message.level == "error" else "log")
        elif isinstance(message, Prepared):
            self.outcome.add, self.outcome.remove = message.add, message.remove
        elif isinstance(message, Failed):
            self.failure, self.broken = _refusal(message, self.root), message.broken
        elif isinstance(message, Done):
            self.done = True
        else:
            self._event(message)

    def _event(self, message: Message) -> None:
        if isinstance(message, ScriptPrinted):
            self.step.note(f"{message.package or 'hook'}: {message.line}", "log")
        elif isinstance(message, HookStarted):
            self.step.note(f"hook: {message.description or message.name}", "log")
        elif isinstance(message, ConfigFileMade):
            self.outcome.config_files.append(message.path)
            self.step.note(f"{message.path} is there beside your file ({message.package})", "log")
        elif isinstance(message, OptionalRemoved):
            self._warn(f"{message.package} can make use of {message.dependency}, which is removed", "warning")
        elif isinstance(message, Asked):
            self._warn(f"libalpm asked whether to {message.question}; the answer was no", "warning")
        elif isinstance(message, Limited):
            self._warn(f"no overwrite patterns, hooks of /etc, nor names of .pacnew files: {message.reason}", "warning")

    def _warn(self, text: str, level: Level) -> None:
        if worth_telling(text):
            self.outcome.warnings.append(text)
        else:
            level = "log"
        self.step.note(text, level)


def worth_telling(text: str) -> bool:
    """Whether a user has use for a warning: not for what the plan shows, and for mount points that are mounted right now."""
    return not _NOISE.search(text)


def mark_torn(database: Path, names: Iterable[str]) -> None:
    """Packages that are in the database without all of their files become torn ones: the next change completes them."""
    for name in names:
        for entry in (database / "local").glob("*/desc"):
            if entry.parent.name.rsplit("-", 2)[0] == name:
                entry.unlink(missing_ok=True)


def _refusal(message: Failed, root: str) -> RastosError:
    detail = "\n".join(message.details)
    if message.stage == "import":
        return NoBindingError(
            f"libalpm's Python binding can't be used: {message.message}",
            next_step="build pyalpm again for this libalpm, or use the pacman program: RASTOS_ENGINE=pacman",
        )
    if message.number == _HANDLE_LOCK:
        return BusyError("the package database is locked", on=root, holder="another package program")
    if full := disk_full(detail or message.message, root):
        return full
    if message.stage == "commit":
        said = f"libalpm stopped: {message.message}"
        step = "see the list; what was complete before stays, the rest was not begun"
    else:
        said, step = f"libalpm refuses: {message.message}", "see the list; nothing was changed"
    return UserError(said, on=root, next_step=step, detail=detail)


def disk_full(said: str, root: str) -> HostError | None:
    """The error for a full disk, where that is what libalpm or pacman said: found beforehand, or half-way."""
    figures = os.statvfs(root)
    full = figures.f_bavail * figures.f_frsize < _NEARLY_FULL or (figures.f_files and not figures.f_favail)
    # libarchive says no more than that a write failed
    if _NO_SPACE in said or (full and any(text in said for text in _UNWRITTEN)):
        return HostError(
            "the disk became full while packages were unpacked",
            on=root,
            next_step="free space and run it again: it completes what is missing; what was complete before stays",
            detail=said,
        )
    if _TOO_SMALL in said:
        return HostError(
            "the disk is too small for these packages",
            on=root,
            next_step="free space; nothing was changed",
            detail=said,
        )
    return None


def _died(status: int, worker: Worker, request: TransactionRequest) -> ExternalError:
    worker.errors.seek(0)
    tail = worker.errors.read().decode("utf-8", "replace")[-4000:]
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return ExternalError(
        f"libalpm's process {how}",
        on=request.root,
        next_step="the lock was removed; run the command again, it completes what is missing",
        argv=worker.argv,
        status=status,
        tail=tail,
    )


def clear_stale_lock(lock: Path, progress: Progress) -> None:
    """Remove libalpm's lock file where no living process holds it open. BusyError: one does.

    libalpm keeps the descriptor of `db.lck` for as long as it has the lock, so the kernel knows the owner.
    """
    try:
        status = lock.stat()
    except FileNotFoundError:
        return
    owner = _holder(status.st_dev, status.st_ino)
    if owner:
        raise BusyError("the package database is locked", on=lock, holder=f"process {owner}")
    lock.unlink(missing_ok=True)
    progress.note("removed a stale package lock: the process that made it is gone", "warning")


def _holder(device: int, inode: int) -> int:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                found = os.stat(descriptor)
                if (found.st_dev, found.st_ino) == (device, inode):
                    return int(process.name)
        except OSError:
            continue
    return 0
