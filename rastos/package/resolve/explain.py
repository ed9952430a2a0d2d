"""The smallest part of a wish that can't be met: what to look at among a hundred names."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .values import Problem, Resolution

_SECONDS = 3.0  # looking for it may take that long, then the whole wish is shown


def explain(
    targets: Sequence[str], solve: Callable[[tuple[str, ...]], Resolution]
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """A smallest set of targets that fails together, and its problems (QuickXplain, Junker 2004).

    Every proper part of the set can be met; that several such sets exist is not looked for.
    """
    deadline = time.monotonic() + _SECONDS
    known: dict[tuple[str, ...], bool] = {}

    def fails(chosen: tuple[str, ...]) -> bool:
        if time.monotonic() > deadline:
            raise TimeoutError
        if chosen not in known:
            known[chosen] = bool(solve(chosen).problems)
        return known[chosen]

    def smallest(base: tuple[str, ...], added: bool, rest: tuple[str, ...]) -> tuple[str, ...]:
        if added and fails(base):
            return ()
        if len(rest) == 1:
            return rest
        half = len(rest) // 2
        one, two = rest[:half], rest[half:]
        second = smallest((*base, *one), True, two)
        first = smallest((*base, *second), bool(second), one)
        return (*first, *second)

    try:
        found = smallest((), False, tuple(targets)) if targets and not fails(()) else ()
    except TimeoutError:
        found = tuple(targets)
    return found, solve(found).problems
