"""Shared by all tests: what they need from the machine, and how they say so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
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
    if folder in ("system", "boot", "faults") and os.geteuid() != 0:
        unmet("run as root: these tests mount file systems and boot machines")


@pytest.fixture(autouse=True, scope="session")
def _no_agent_outlives_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """gpg starts an agent for every folder of keys, which stays for good: end those of the tests' folders."""
    yield
    ours = f"{tmp_path_factory.getbasetemp()}/".encode()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if words and words[0].rpartition(b"/")[2] == b"gpg-agent" and any(word.startswith(ours) for word in words):
                os.kill(int(folder.name), signal.SIGTERM)
        except OSError:
            continue  # it ended meanwhile


pytest_plugins = ["tests.micro_kernel"]  # the fixture micro_kernel


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a kernel compiled for it alone belongs to the long run."""
    for item in items:
        if "micro_kernel" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)
