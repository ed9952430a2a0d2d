"""Results over time: one JSON line per bench, and what changed between two of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import locked, write_atomic

from .results import FIGURES, SCHEMA, BenchResult, from_json


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of a kernel then and now; `clear` says that the two spreads don't touch."""

    kernel: str
    figure: str
    unit: str
    before: float
    now: float
    ratio: float
    clear: bool
    better: bool


def keep(path: Path, result: BenchResult) -> None:
    """Add a result to the file; whole or not at all. Only kernels whose every run went well are kept."""
    plain = result.to_json()
    plain["kernels"] = [item for item in plain["kernels"] if not item["failures"]]
    if not plain["kernels"]:
        return
    with locked(path.with_suffix(".lock"), "keep a bench's results", wait=10):
        earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, earlier + json.dumps(plain) + "\n")


def read_results(path: Path) -> tuple[BenchResult, ...]:
    """Everything in a results file, or the one result that --json printed; oldest first. IntegrityError: something else."""
    if not path.is_file():
        return ()
    text = path.read_text(encoding="utf-8")
    try:
        return (_one(text),)  # one that --json printed, over many lines
    except ValueError:
        pass
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_one(line))
        except ValueError as error:
            raise IntegrityError(
                f"line {number} is no result of a bench: {error}",
                on=path,
                next_step="remove that line, or name another file",
            ) from error
    return tuple(found)


def _one(text: str) -> BenchResult:
    try:
        value = json.loads(text)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ValueError(f"not of schema {SCHEMA}")
        return from_json(value)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__} {error}") from error


def last_of(results: tuple[BenchResult, ...], names: tuple[str, ...], path: Path) -> BenchResult:
    """The newest result that has one of these kernels. UserError: none has."""
    for result in reversed(results):
        if {item.name for item in result.kernels} & set(names):
            return result
    raise UserError(
        f"no result of {', '.join(names)} is kept to compare with",
        on=path,
        next_step="measure without --compare: the next one can be compared",
    )


def changes(before: BenchResult, now: BenchResult) -> tuple[Change, ...]:
    """Every figure that both have, kernel by kernel."""
    found = []
    for item in now.kernels:
        old = next((kernel for kernel in before.kernels if kernel.name == item.name), None)
        for figure in item.figures if old else ():
            then = old.figure(figure.name) if old else None
            if then is None or not then.middle:
                continue
            more_is_better = FIGURES.get(figure.name, ("", False))[1]
            found.append(
                Change(
                    kernel=item.name,
                    figure=figure.name,
                    unit=figure.unit,
                    before=then.middle,
                    now=figure.middle,
                    ratio=figure.middle / then.middle,
                    clear=figure.least > then.most or figure.most < then.least,
                    better=(figure.middle > then.middle) == more_is_better,
                )
            )
    return tuple(found)
