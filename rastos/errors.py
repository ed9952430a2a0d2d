"""The error tree: every failure a user can meet, each saying what failed, on what, and what to do next.

    RastosError
    ├── UserError       the request is wrong: unknown name, malformed file, bad option
    ├── HostError       this machine lacks something or refused it: tool, privilege, space
    ├── ExternalError   a program or a service failed; carries its command, status and last words
    ├── IntegrityError  a digest, a signature or stored state is not what it must be
    └── BusyError       somebody else holds the lock

`cli` alone turns them into text and an exit status.
"""

from __future__ import annotations

from collections.abc import Sequence


class RastosError(Exception):
    """Base of all errors shown to users.

    `what` is one sentence without a final full stop, `on` the file or thing it happened to, `next_step` what the user
    can do about it, `detail` further lines (a full list, the tail of a log) shown beneath the three lines or, when
    long, only with `--debug`.
    """

    exit_status = 1
    default_next_step = "run the command again with --debug for the whole log"

    def __init__(self, what: str, *, on: object = "", next_step: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.on = str(on)
        self.next_step = next_step or self.default_next_step
        self.detail = detail

    def __str__(self) -> str:
        where = f" ({self.on})" if self.on else ""
        return f"{self.what}{where}"


class UserError(RastosError):
    """The request itself is wrong."""

    default_next_step = "see `rastos --help` for what can be asked"


class HostError(RastosError):
    """This machine lacks something that is needed, or refused it."""

    default_next_step = "run `rastos doctor` to see what is missing and how to get it"


class IntegrityError(RastosError):
    """A digest, a signature or a stored state is not what it must be; nothing of it was used."""

    default_next_step = "nothing was changed; fetch or build the named file again"


class BusyError(RastosError):
    """Somebody else holds the lock; `holder` says who, for what and since when."""

    default_next_step = "wait until it is done, or stop that process"

    def __init__(self, what: str, *, on: object = "", holder: str = "", next_step: str = "") -> None:
        super().__init__(what, on=on, next_step=next_step, detail=holder)
        self.holder = holder


class ExternalError(RastosError):
    """A program failed; `argv`, `status` (negative: killed by that signal) and `tail` (its last lines) say how."""

    def __init__(
        self,
        what: str,
        *,
        on: object = "",
        next_step: str = "",
        argv: Sequence[str] = (),
        status: int | None = None,
        tail: str = "",
    ) -> None:
        super().__init__(what, on=on, next_step=next_step, detail=tail)
        self.argv = tuple(argv)
        self.status = status
        self.tail = tail
