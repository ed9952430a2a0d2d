"""Who carries a transaction out: libalpm through its binding, or the pacman program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from rastos.errors import UserError
from rastos.progress import Progress

from .protocol import TransactionRequest
from .session import NoBindingError, Outcome, Worker, run_transaction, started_worker

Engine = Literal["auto", "libalpm", "pacman"]


@contextmanager
def ready(engine: str, *, wanted: bool) -> Iterator[Worker | None]:
    """Start what `engine` will need, if a transaction is `wanted`. UserError: there is no such engine."""
    if engine not in get_args(Engine):
        raise UserError(f"there is no engine '{engine}'", next_step=f"take one of {', '.join(get_args(Engine))}")
    if engine == "pacman" or not wanted:
        yield None
    else:
        with started_worker() as worker:
            yield worker


def carry_out(
    request: TransactionRequest, progress: Progress, engine: str, worker: Worker | None, record: Callable[[str], None]
) -> Outcome:
    """Carry out a request; "auto" takes the pacman program where the binding can't be used, and says so.

    `worker` is one that is `ready`; `record` hears of steps that are complete in themselves. Errors as `run_transaction`.
    """
    if engine != "pacman":
        try:
            return run_transaction(request, progress, worker)
        except NoBindingError as error:
            from rastos.host import find_program

            if engine == "libalpm" or find_program("pacman") is None:
                raise
            progress.note(f"using the pacman program: {error.what}", "warning")
    from .program import run_program

    return run_program(request, progress, record)
