"""Shared by all tests: what they need from the machine, and how they say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def need(*programs: str) -> None:
    """Skip unless all programs are there, saying what to install; in CI a missing one is a failure."""
    from rastos.host import find_program, how_to_install

    missing = [program for program in programs if find_program(program) is None]
    if missing:
        unmet(how_to_install(missing))


def unmet(reason: str) -> None:
    """A capability is missing: an error in CI, a skip with its reason elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _root_where_needed(request: pytest.FixtureRequest) -> None:
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if folder in ("system", "boot") and os.geteuid() != 0:
        unmet("run as root: these tests mount file systems and boot machines")
