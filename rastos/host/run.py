"""The one way to run programs: argument vectors, closed standard input, a small environment, death with the parent."""

from __future__ import annotations

import ctypes
import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen as Popen
from typing import IO, Any

from rastos.errors import ExternalError, HostError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = ("HOME", "TERM", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "TMPDIR")
TAIL_LINES = 40
TAIL_KEPT = 400  # lines kept in memory where a log has them all
LONGEST_LINE = 1 << 16  # bytes, there too
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished program; `stdout` and `stderr` are text, whole unless a log was given (then the last lines)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every program: fixed path and locale, a few variables passed on, then `extra`."""
    base = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    base.update({name: os.environ[name] for name in PASSED_ON if name in os.environ})
    base.update(extra or {})
    return base


def find_program(name: str) -> Path | None:
    """Where a program lies on the fixed search path; None if it is not there."""
    found = shutil.which(name, path=PATH)
    return Path(found) if found else None


def require_programs(*names: str) -> None:
    """Raise HostError naming all programs that are missing and how to get them on this distribution."""
    missing = [name for name in names if find_program(name) is None]
    if missing:
        from rastos.host.system_package_list import how_to_install

        raise HostError(f"missing here: {', '.join(missing)}", next_step=how_to_install(missing))


def _guard(life: int) -> None:
    """Leave a process in this group that kills all of it when the other end of the pipe `life` closes.

    PR_SET_PDEATHSIG reaches only the program itself: without this, the compilers of a killed make would go on.
    It is nobody's child here (forked twice), so that no program waits for it.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(0, life)
        os.closerange(life + 1, 1 << 20)
        os.read(life, 1)
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _child_setup(death_signal: int, root: Path | None, life: int | None, session: bool = True) -> Callable[[], None]:
    parent = os.getpid()

    def setup() -> None:
        if session:
            os.setsid()
        if life is not None:
            _guard(life)
        _libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before prctl
            os._exit(127)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if root is not None:
            os.chroot(root)
            os.chdir("/")

    return setup


def _open(
    argv: Sequence[str | Path],
    *,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    root: Path | None = None,
    death_signal: int = signal.SIGKILL,
    pass_fds: Sequence[int] = (),
    life: int | None = None,
    session: bool = True,
) -> subprocess.Popen[bytes]:
    words = [os.fspath(word) for word in argv]
    if root is None and os.sep not in words[0] and find_program(words[0]) is None:
        require_programs(words[0])
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.DEVNULL if stderr is None else stderr,
            cwd=None if root is not None else cwd,
            env=environment(env),
            pass_fds=tuple(pass_fds),
            preexec_fn=_child_setup(death_signal, root, life, session),
        )
    except (FileNotFoundError, PermissionError, subprocess.SubprocessError) as error:
        raise HostError(
            f"cannot start {words[0]}: {error}", on=root or "", next_step="check that it is installed"
        ) from error


def _kill_group(process: subprocess.Popen[bytes], first: int = signal.SIGTERM, grace: float = 3.0) -> None:
    for number, wait in ((first, grace), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGKILL:
            return
    _kill_members(process.pid)  # the leader is gone; whoever else is in its group goes too


def _kill_members(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


@contextmanager
def spawn(
    argv: Sequence[str | Path],
    *,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    root: Path | None = None,
    death_signal: int = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs beside us; on leaving it is ended with its whole group. Pipes: pass -1 (subprocess.PIPE)."""
    process = _open(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=env,
        root=root,
        death_signal=death_signal,
        pass_fds=pass_fds,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _kill_group(process)
        elif not Path(f"/proc/{process.pid}").exists():
            # ended by itself; its number was not given away, so whoever is left in the group was started by it
            _kill_members(process.pid)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
        process.wait()


class _Lines:
    """Bytes into lines: kept (all, or the last ones), logged and handed on."""

    def __init__(self, log: IO[bytes] | None, on_line: Callable[[str], None] | None, *, keep_all: bool) -> None:
        self.log = log
        self.on_line = on_line
        self.kept: deque[str] | list[str] = [] if keep_all else deque(maxlen=TAIL_KEPT)
        self.longest = None if keep_all else LONGEST_LINE
        self.rest = bytearray()

    def feed(self, data: bytes) -> None:
        if self.log:
            self.log.write(data)
        first, newline, others = data.partition(b"\n")
        self.rest += first
        if newline:
            self._line(self.rest)
            *lines, rest = others.split(b"\n")
            for line in lines:
                self._line(line)
            self.rest = bytearray(rest)
        if self.longest is not None and len(self.rest) > self.longest:  # no end in sight: cut, to stay small
            self._line(self.rest)
            self.rest = bytearray()

    def _line(self, line: bytes | bytearray) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self.kept.append(text + "\n")
        if self.on_line:
            self.on_line(text)

    def finish(self) -> str:
        if self.rest:
            self._line(self.rest)
            self.kept[-1] = self.kept[-1].rstrip("\n")
            self.rest = bytearray()
        return "".join(self.kept)


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: bytes | str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    root: Path | None = None,
    what: str = "",
    guarded: bool = False,
) -> Completed:
    """Run a program to its end.

    `env` is added to a small fixed environment; `timeout` in seconds; `log` gets both streams appended; `on_line` sees each
    line of both as it comes; `root` is a chroot; `what` completes "could not …" in the error. The program's whole group is
    killed on a timeout and on any exception here, and it dies with us (PR_SET_PDEATHSIG); `guarded` for programs that
    start others: then its whole group dies with us, and nothing of the group outlives the program.
    Raises ExternalError (status, last lines) if `check` and the status is not 0, HostError if the program is missing.
    """
    words = tuple(os.fspath(word) for word in argv)
    started = time.monotonic()
    logfile = log.open("ab") if log else None
    life, held = os.pipe() if guarded else (None, None)
    try:
        process = _open(
            argv,
            stdin=subprocess.PIPE if stdin is not None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            root=root,
            life=life,
        )
        out = _Lines(logfile, on_line, keep_all=log is None)
        err = _Lines(logfile, on_line, keep_all=log is None)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            timed_out = _pump(process, out, err, data, started + timeout if timeout else None)
        except BaseException:
            _kill_group(process)
            raise
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if timed_out:
            _kill_group(process)
        status = process.wait()
        done = Completed(words, status, out.finish(), err.finish(), time.monotonic() - started)
    finally:
        if logfile:
            logfile.close()
        for number in (life, held):
            if number is not None:
                os.close(number)
    if timed_out or (check and status != 0):
        raise _failure(done, what, timeout if timed_out else None, log)
    return done


def _pump(
    process: subprocess.Popen[bytes], out: _Lines, err: _Lines, data: bytes | None, deadline: float | None
) -> bool:
    """Move bytes until both streams end and the program is gone; True when the deadline passed first."""
    assert process.stdout and process.stderr
    readers = {process.stdout.fileno(): out, process.stderr.fileno(): err}
    pending = memoryview(data or b"")
    writer = process.stdin.fileno() if process.stdin else None
    if writer is not None:
        os.set_blocking(writer, False)
    while readers or process.poll() is None:
        if deadline and time.monotonic() > deadline:
            return True
        if writer is not None and not pending:
            assert process.stdin
            process.stdin.close()
            writer = None
        wait = 0.5 if readers else 0.02
        ready, writable, _ = select.select(list(readers), [writer] if writer is not None else [], [], wait)
        if writable and writer is not None:
            try:
                pending = pending[os.write(writer, pending[:65536]) :]
            except BrokenPipeError:
                pending = memoryview(b"")
        for number in ready:
            chunk = os.read(number, 65536)
            if chunk:
                readers[number].feed(chunk)
            else:
                del readers[number]
        if not ready and process.poll() is not None:
            # a daemon it left behind may hold the pipe open for ever: the program itself has ended
            break
    return False


def _failure(done: Completed, what: str, timeout: float | None, log: Path | None) -> ExternalError:
    name = Path(done.argv[0]).name
    if timeout is not None:
        how = f"{name} did not end within {timeout:g} s"
    elif done.status < 0:
        how = f"{name} was killed by {signal.Signals(-done.status).name}"
    else:
        how = f"{name} ended with status {done.status}"
    text = (done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL_LINES:]
    return ExternalError(
        f"could not {what}: {how}" if what else how,
        on=log or "",
        next_step=f"read its words below; to try it: {_paste(done.argv)}",
        argv=done.argv,
        status=done.status,
        tail="\n".join(text),
    )


def _paste(argv: Sequence[str]) -> str:
    line = shlex.join(argv)
    return line if len(line) <= 160 else line[:157] + "..."
