"""The table of what was tried, at the end of the run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.sweep import TALLIES, table


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory: disks are copied thousands of times, and nothing here has to outlive the test."""
    place = Path(tempfile.mkdtemp(prefix="rastos-faults-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield place
    shutil.rmtree(place)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """After the results of pytest."""
    if TALLIES:
        terminalreporter.section("power cuts")
        for line in table():
            terminalreporter.write_line(line)
        if os.environ.get("RASTOS_FAULTS_SHOW"):
            for tally in TALLIES:
                for line in tally.wrong:
                    terminalreporter.write_line(line)
