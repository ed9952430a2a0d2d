"""The table of what was tried, at the end of the run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.sweep import LONG, TALLIES, table


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory: disks are copied thousands of times, and nothing here has to outlive the test."""
    place = Path(tempfile.mkdtemp(prefix="rastos-faults-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield place
    shutil.rmtree(place)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """After the results of pytest."""
    steps = sys.modules.get("tests.faults.test_every_step")
    if steps is not None and steps.reached:
        terminalreporter.section("commands stopped at their steps")
        ways = len(steps.KINDS) if LONG else 1
        for name, found in steps.reached.items():
            terminalreporter.write_line(f"| {name:<16} | {len(found):>3} steps | {ways * len(found):>4} stops |")
    if TALLIES:
        terminalreporter.section("power cuts")
        for line in table():
            terminalreporter.write_line(line)
        if os.environ.get("RASTOS_FAULTS_SHOW"):
            for tally in TALLIES:
                for line in tally.wrong:
                    terminalreporter.write_line(line)
