"""Kernels measured: booted in turn under the same conditions, their paths timed in the guest, results kept and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .history import Change, changes, keep, last_of, read_results
    from .measuring import measure
    from .plan import BenchPlan, Contender, contender, plan_bench
    from .results import FIGURES, BenchResult, Conditions, Figure, Measured

_HOMES = {
    "history": ("Change", "changes", "keep", "last_of", "read_results"),
    "measuring": ("measure",),
    "plan": ("BenchPlan", "Contender", "contender", "plan_bench"),
    "results": ("FIGURES", "BenchResult", "Conditions", "Figure", "Measured"),
}

__all__ = [
    "BenchPlan",
    "BenchResult",
    "Change",
    "Conditions",
    "Contender",
    "FIGURES",
    "Figure",
    "Measured",
    "changes",
    "contender",
    "keep",
    "last_of",
    "measure",
    "plan_bench",
    "read_results",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
