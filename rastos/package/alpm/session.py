"""Running the worker: request out, messages in, and what to make of its death."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO

import rastos
from rastos.errors import BusyError, ExternalError, HostError, RastosError, UserError
from rastos.progress import Progress, Step

from .protocol import Done, Failed, Logged, Message, Prepared, Progressed, TransactionRequest, decode, encode

# pm_errno values (alpm.h, enum _alpm_errno_t) that mean something to a user
_DISK_SPACE = 5
_HANDLE_LOCK = 10
_PIPE = -1  # subprocess.PIPE

# tests: where the worker shall die (see TransactionRequest.crash_at)
crash_at = ""


def run_transaction(request: TransactionRequest, progress: Progress) -> Prepared:
    """Carry out one transaction in a child. Raises UserError (refused), BusyError, HostError, ExternalError (it died).

    A KeyboardInterrupt lets libalpm finish the package it is at; a second one kills it.
    """
    from rastos.host import spawn

    lock = Path(request.database) / "db.lck"
    clear_stale_lock(lock, progress)
    if crash_at:
        request = replace(request, crash_at=crash_at)
    argv = [sys.executable, "-m", "rastos.package.alpm.worker"]
    env = {"PYTHONPATH": str(Path(rastos.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    label = "installing packages" if request.install else "removing packages"
    total = len(request.install) or len(request.remove)
    with progress.step(label, total=total, unit="packages") as step, tempfile.TemporaryFile() as errors:
        with spawn(argv, env=env, stdin=_PIPE, stdout=_PIPE, stderr=errors, death_signal=signal.SIGTERM) as process:
            assert process.stdin and process.stdout
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
            finally:
                if process.stdout.closed:
                    process.kill()
            status = process.wait()
        if conversation.failure is not None or status != 0 or not conversation.done:
            clear_stale_lock(lock, Progress())
            raise conversation.failure or _died(status, argv, errors, request)
        step.outcome = f"{len(conversation.prepared.add)} in, {len(conversation.prepared.remove)} out"
    return conversation.prepared


class _Conversation:
    """Takes the worker's messages until it is silent."""

    def __init__(self, step: Step, root: str) -> None:
        self.step = step
        self.root = root
        self.prepared = Prepared((), ())
        self.failure: RastosError | None = None
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
            self.step.note(message.text, "warning" if message.level == "error" else "log")
        elif isinstance(message, Prepared):
            self.prepared = message
        elif isinstance(message, Failed):
            self.failure = _refusal(message, self.root)
        elif isinstance(message, Done):
            self.done = True


def _refusal(message: Failed, root: str) -> RastosError:
    detail = "\n".join(message.details)
    if message.number == _HANDLE_LOCK:
        return BusyError("the package database is locked", on=root, holder="another package program")
    if message.number == _DISK_SPACE:
        return HostError(
            "the disk is too small for these packages", on=root, next_step="free space; nothing was changed"
        )
    if message.stage == "commit":
        said = f"libalpm stopped: {message.message}"
        step = "see the list; what was complete before stays, the rest was not begun"
    else:
        said, step = f"libalpm refuses: {message.message}", "see the list; nothing was changed"
    return UserError(said, on=root, next_step=step, detail=detail)


def _died(status: int, argv: list[str], errors: IO[bytes], request: TransactionRequest) -> ExternalError:
    errors.seek(0)
    tail = errors.read().decode("utf-8", "replace")[-4000:]
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return ExternalError(
        f"libalpm's process {how}",
        on=request.root,
        next_step="the lock was removed; run the command again, it completes what is missing",
        argv=argv,
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
