"""What a change comes to, decided before libalpm sees it: closure, providers, conflicts, replacements, removals.

Pure and deterministic: databases and the installed packages in, a `Resolution` out, or every problem at once. libalpm asks
questions that its Python binding answers with "no", and the binding dies on a conflict; so nothing may be left to ask.
"""

from __future__ import annotations

from .explain import explain
from .orphans import unneeded
from .solver import resolve
from .values import Alternatives, Choice, Index, Problem, Question, Resolution, Rules, Wish

__all__ = [
    "Alternatives",
    "Choice",
    "Index",
    "Problem",
    "Question",
    "Resolution",
    "Rules",
    "Wish",
    "explain",
    "resolve",
    "unneeded",
]
