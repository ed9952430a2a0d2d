"""The process that holds libalpm: `python -m rastos.package.alpm.worker`, one request on stdin, messages on stdout.

One handle, one transaction. The binding answers all of libalpm's questions with "no" and dies on a package conflict or a
wrong architecture, so conflicts are not its business (`noconflicts`): the plan has settled them.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

try:
    import pyalpm
except ImportError as error:  # not there, or built for another libalpm
    pyalpm, missing = None, str(error)
else:
    missing = ""

from rastos.package.alpm.native import Event, Native, NativeError
from rastos.package.alpm.protocol import (
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
from rastos.package.policy import matching

_ERROR, _WARNING = 1, 2  # alpm.h, enum _alpm_loglevel_t
_LEVELS = {_ERROR: "error", _WARNING: "warning"}
_SCRIPT_ERRORS = ("error: command ", "error: call to ", "command ", "call to ")


class Worker:
    """Carries out one request."""

    def __init__(self, request: TransactionRequest, out: int) -> None:
        self.request = request
        self.out = out
        self.stage = "start"
        self.errors: list[str] = []
        self.transaction: Any = None
        self.last = ("", -1)
        self.native: Native | None = None
        self.package = ""  # that libalpm is at
        self.broken = ""

    def send(self, message: Message) -> None:
        """Write one message; a parent that is gone ends us."""
        data = encode(message)
        while data:
            data = data[os.write(self.out, data) :]

    def run(self) -> None:
        """The whole transaction; a refusal is a message, not an exception."""
        if pyalpm is None or self.request.crash_at == "import":
            self.send(Failed("import", missing or "tests", 0))
            return
        try:
            self._run()
        except pyalpm.error as error:
            message, number, data = (*error.args, 0, None)[:3]
            details = tuple(dict.fromkeys((*_details(data), *self.errors)))
            self.send(Failed(self.stage, str(message), int(number or 0), details, self._broken()))
        except LookupError as error:
            self.send(Failed(self.stage, str(error.args[0]), 0, tuple(self.errors)))

    def _run(self) -> None:
        request = self.request
        handle = self._handle()
        self.stage = "prepare"
        if request.install or request.remove:
            self._transact(handle)
        if request.commit:
            self._reasons(handle)
        self.send(Done())

    def _handle(self) -> Any:
        request = self.request
        handle = pyalpm.Handle(request.root, request.database)
        handle.cachedirs = [request.cache]
        handle.noextracts = list(request.noextract)
        handle.noupgrades = list(request.noupgrade)
        # libalpm finds file systems through /etc/mtab, and takes its absence for a full disk; the plan's own check stands
        handle.checkspace = os.path.exists("/etc/mtab") and request.crash_at != "unchecked"
        handle.logcb = self._log
        handle.progresscb = self._progress
        handle.eventcb = lambda *_: None
        try:
            if request.crash_at == "native":
                raise NativeError("tests")
            self.native = Native(handle)
            self.native.add_hook_folders(request.hookdirs)
            self.native.add_overwrite(request.overwrite)
            self.native.on_events(self._event)
            self.native.on_questions(lambda question: self.send(Asked(question)))
        except (NativeError, AttributeError, OSError) as error:
            self.send(Limited(str(error)))
        return handle

    def _transact(self, handle: Any) -> None:
        request = self.request
        held = matching(request.remove, request.hold) if request.hold and not request.force_hold else ()
        if held:
            raise LookupError(f"{', '.join(held)} shall never be removed")
        databases = {name: handle.register_syncdb(name, 0) for name in request.databases}
        for database in databases.values():
            # libalpm insists on a server even where every file is in the cache folder
            database.servers = [f"file://{request.cache}"]
        self.transaction = handle.init_transaction(noconflicts=True, dbonly=request.dbonly)
        signal.signal(signal.SIGINT, lambda *_: self.transaction.interrupt())
        try:
            for database, name, version in request.install:
                package = databases[database].get_pkg(name)
                if package is None or package.version != version:
                    raise LookupError(f"{name} {version} is not in the database '{database}'")
                self.transaction.add_pkg(package)
            local = handle.get_localdb()
            for name in request.remove:
                package = local.get_pkg(name)
                if package is None:
                    raise LookupError(f"{name} is not installed")
                self.transaction.remove_pkg(package)
            self._crash("prepare")
            self.transaction.prepare()
            adding = tuple(sorted(package.name for package in self.transaction.to_add))
            removing = tuple(sorted(package.name for package in self.transaction.to_remove))
            self.send(Prepared(adding, removing))
            self._same(adding, removing)
            if request.commit and (adding or removing):
                self.stage = "commit"
                self._crash("commit")
                self.transaction.commit()
        finally:
            self.transaction.release()

    def _broken(self) -> tuple[str, ...]:
        """libalpm stops at a package that it could not unpack, and has it in the database all the same."""
        coming = {name for _, name, _ in self.request.install}
        return (self.broken,) if self.stage == "commit" and self.broken in coming else ()

    def _same(self, adding: tuple[str, ...], removing: tuple[str, ...]) -> None:
        """libalpm must do what was planned, no more."""
        extra = set(adding) - {name for _, name, _ in self.request.install} | set(removing) - set(self.request.remove)
        if extra:
            raise LookupError(f"libalpm would also change {', '.join(sorted(extra))}")

    def _reasons(self, handle: Any) -> None:
        local = handle.get_localdb()
        for names, reason in (
            (self.request.dependencies, pyalpm.PKG_REASON_DEPEND),
            (self.request.explicit, pyalpm.PKG_REASON_EXPLICIT),
        ):
            for name in names:
                package = local.get_pkg(name)
                if package is not None and package.reason != reason:
                    handle.set_pkgreason(package, reason)

    def _progress(self, target: str, percent: int, total: int, at: int) -> None:
        if target and percent >= 50:
            self._crash("package")
        # libalpm calls for every block it writes; a line per package and tenth is enough
        if (target, percent // 10) != self.last:
            self.last = (target, percent // 10)
            self.send(Progressed(target, percent, total, at))

    def _event(self, event: Event) -> None:
        if event.kind == "operation":
            self.package = event.package
        elif event.kind == "operation done":
            self.package = ""
        elif event.kind == "script":
            self.send(ScriptPrinted(self.package, event.text))
        elif event.kind == "hook":
            self.send(HookStarted(event.text, event.description))
        elif event.kind == "optional":
            self.send(OptionalRemoved(event.package, event.text))
        else:
            root = os.path.realpath(self.request.root).rstrip("/")
            self.send(ConfigFileMade(event.text.removeprefix(root), event.package))

    def _log(self, level: int, text: str) -> None:
        if level in _LEVELS:
            line = text.rstrip()
            if level == _ERROR:
                self.errors.append(line)
                if self.package and not line.startswith(_SCRIPT_ERRORS):
                    self.broken = self.package
            self.send(Logged(_LEVELS[level], line))

    def _crash(self, place: str) -> None:
        if self.request.crash_at == place:
            os.kill(os.getpid(), signal.SIGSEGV)


def _details(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list | tuple):
        return ()
    lines = []
    for item in data:
        if isinstance(item, tuple) and len(item) >= 2:
            lines.append(f"{item[0]} needs {item[1]}")
        else:
            lines.append(str(item))
    return tuple(lines)


def main() -> None:
    """Serve one request; what libalpm or a scriptlet prints goes to stderr."""
    out = os.dup(1)
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # nothing came of it
    request = decode(line)
    assert isinstance(request, TransactionRequest)
    Worker(request, out).run()


if __name__ == "__main__":
    main()
