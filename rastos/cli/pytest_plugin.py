"""The pytest plugin: fixtures that boot *your* image (docs/image-testing.md). It loads nothing of rastos until one is used.

`machine` is the image of --rastos-image, booted once per module, or for each test with @pytest.mark.machine(scope="test").
`machines` boots several at once. Where a test fails, the report has the console's end and names screenshot and journal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rastos.config import Config
    from rastos.installer.vm import Machine, MachineRequest

    Boot = Callable[..., tuple[Machine, ...]]

MARK = "machine(scope='module'|'test', boot=…, memory=…, …): how the `machine` of a test is booted (rastos.testing.machine)"
TAIL = 25  # lines of the console in a report
_stash = pytest.StashKey[list[Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--rastos-image, --rastos-timeout, --rastos-keep."""
    group = parser.getgroup("rastos", "images booted in QEMU")
    group.addoption("--rastos-image", metavar="FILE", help="the image to test (default: RASTOS_IMAGE, else the newest)")
    group.addoption("--rastos-timeout", type=float, default=240.0, metavar="SECONDS", help="for one machine to come up")
    group.addoption("--rastos-keep", metavar="DIR", help="where console, journal and screenshot of failed tests go")


def pytest_configure(config: pytest.Config) -> None:
    """The mark."""
    config.addinivalue_line("markers", MARK)


def _settings() -> Config:
    from rastos.cli.app import Application

    return Application().config


@pytest.fixture(scope="session")
def rastos_image(request: pytest.FixtureRequest) -> Path:
    """The image under test."""
    import os

    from rastos.cli.options import chosen_image

    named = request.config.getoption("--rastos-image") or os.environ.get("RASTOS_IMAGE")
    path = chosen_image(Path(named) if named else None, _settings().output)
    if not path.is_file():
        pytest.fail(f"there is no image {path}; name one: --rastos-image FILE", pytrace=False)
    return path


@pytest.fixture(scope="module")
def _rastos_of_module() -> Iterator[tuple[ExitStack, dict[Any, tuple[Machine, ...]]]]:
    """Machines that live as long as a test module."""
    with ExitStack() as stack:
        yield stack, {}


@pytest.fixture
def machines(request: pytest.FixtureRequest, rastos_image: Path) -> Iterator[Boot]:
    """A function that boots machines for one test, in parallel: machines("web", "client", network="lan", memory=512)."""
    with ExitStack() as stack:

        def boot(*names: str | MachineRequest, **words: Any) -> tuple[Machine, ...]:
            from rastos.testing import machine as wanted

            requests = [wanted(name, **words) if isinstance(name, str) else name for name in names]
            return _watch(request, _up(stack, request, requests, rastos_image))

        yield boot


@pytest.fixture
def machine(
    request: pytest.FixtureRequest,
    rastos_image: Path,
    _rastos_of_module: tuple[ExitStack, dict[Any, tuple[Machine, ...]]],
) -> Iterator[Machine]:
    """The booted image: of the module, or of this test alone (@pytest.mark.machine(scope="test"))."""
    from rastos.testing import machine as wanted

    mark = request.node.get_closest_marker("machine")
    words = dict(mark.kwargs) if mark else {}
    scope = words.pop("scope", "module")
    if scope not in ("module", "test") or (mark and mark.args):
        pytest.fail(f"the mark machine is written so: {MARK}", pytrace=False)
    asked = wanted(**words)
    with ExitStack() as alone:
        if scope == "test":
            found = _up(alone, request, [asked], rastos_image)
        else:
            stack, known = _rastos_of_module
            found = known.get(asked, ())
            if not found or found[0].gone():  # a test crashed it: the next one gets a new one
                found = known[asked] = _up(stack, request, [asked], rastos_image)
        yield _watch(request, found)[0]


def _up(
    stack: ExitStack, request: pytest.FixtureRequest, requests: list[MachineRequest], image: Path
) -> tuple[Machine, ...]:
    """Boot them and wait until they are up; on the stack's end they are powered off."""
    from rastos.errors import RastosError
    from rastos.installer.vm import all_at_once, ended_cleanly, introduce, machines_started, wait_up

    cache, timeout = _settings().cache, float(request.config.getoption("--rastos-timeout"))
    folder = _folder(request)
    try:
        found = stack.enter_context(machines_started(requests, image=image, cache=cache, evidence=folder))
        several = list(found.values())
        _watch(request, tuple(several))
        failures = [item for item in all_at_once(several, lambda item: wait_up(item, timeout)) if item]
        if failures:
            raise failures[0]
        stack.callback(ended_cleanly, several)
        introduce(requests, found)
    except RastosError as error:
        pytest.fail(f"{error}\nnext: {error.next_step}\n{error.detail}".strip(), pytrace=False)
    return tuple(several)


def _folder(request: pytest.FixtureRequest) -> Path:
    """Where evidence of a test goes."""
    named = request.config.getoption("--rastos-keep")
    base = Path(named) if named else _settings().cache / "vm" / "failed"
    return base / re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.nodeid).strip("-")[-120:]


def _watch(request: pytest.FixtureRequest, found: tuple[Machine, ...]) -> tuple[Machine, ...]:
    """Machines whose words belong into this test's report if it fails."""
    seen = request.node.stash.setdefault(_stash, [])
    seen += [item for item in found if item not in seen]
    for item in found:
        item.evidence = _folder(request) / item.name
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Add what the machines of a failed test said, and keep the rest in files."""
    outcome: Any = yield
    report = outcome.get_result()
    if not report.failed or report.when == "teardown":
        return
    for machine in item.stash.get(_stash, []):
        report.sections.append((f"console of {machine.name}", machine.console.tail(TAIL)))
        folder = machine.evidence
        if folder is not None:
            kept = machine.keep_evidence(folder)
            report.sections.append((f"kept of {machine.name}", "\n".join(str(path) for path in kept)))
