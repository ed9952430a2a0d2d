"""Who carries a transaction out: libalpm through its binding, or the pacman program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from rastos.errors import UserError
from rastos.progress import Progress

from .protocol import TransactionRequest
from .session import NoBindingError, Outcome, run_transaction

Engine = Literal["auto", "libalpm", "pacman"]


def carry_out(request: TransactionRequest, progress: Progress, engine: str, record: Callable[[str], None]) -> Outcome:
    """Carry out a request; "auto" takes the pacman program where the binding can't be used, and says so.

    `record` hears of steps that are complete in themselves. Errors as `run_transaction`.
    """
    if engine not in get_args(Engine):
        raise UserError(f"there is no engine '{engine}'", next_step=f"take one of {', '.join(get_args(Engine))}")
    if engine != "pacman":
        try:
            return run_transaction(request, progress)
        except NoBindingError as error:
            from rastos.host import find_program

            if engine == "libalpm" or find_program("pacman") is None:
                raise
            progress.note(f"using the pacman program: {error.what}", "warning")
    from .program import run_program

    return run_program(request, progress, record)
