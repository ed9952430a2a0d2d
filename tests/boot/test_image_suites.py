"""Files of checks and the pytest plugin, each with real machines."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.boot.conftest import Rastos, environment
from tests.conftest import ROOT

pytest_plugins = ["pytester"]

PLUGIN = "rastos.cli.pytest_plugin"
EXAMPLES = ROOT / "docs/examples/image-tests"
BOOT = "500"


@pytest.mark.long
def test_two_machines_on_a_private_network(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.xml"
    said = rastos(
        "image", "test", EXAMPLES / "two-machines.toml", "--image", ci_image, "--timeout", BOOT, "--junit", result, "--json"
    )  # fmt: skip
    report = json.loads(said)
    seen = {(item["machine"], item["name"]): item for item in report["checks"]}
    assert report["passed"] and set(report["boots"]) == {"web", "client"} and not report["logs"]
    assert seen["client", "the client sees the server's page"]["detail"] == "hello from web"
    assert seen["web", "powers off cleanly"]["passed"] and seen["client", "boots"]["passed"]
    suite = ElementTree.parse(result).getroot()[0]
    assert suite.get("failures") == "0" and int(suite.get("tests", 0)) == len(report["checks"])


BAD = """
from rastos.testing import Machine, machine

MACHINES = [machine("box", boot="direct", memory=512)]


def test_it_is_up(box: Machine) -> str:
    box.wait_for_unit("multi-user.target", 120)
    return box.succeed("uname -s").strip()


def test_what_is_not_so(box: Machine) -> None:
    assert box.execute("cat /etc/hostname").stdout == "another"


def test_a_crash(box: Machine) -> None:
    box.succeed("echo kept > /var/lib/kept && sync")
    box.crash()
    box.start()
    box.wait_agent(400)
    assert box.succeed("cat /var/lib/kept") == "kept\\n"
"""


@pytest.mark.long
def test_what_fails_leaves_evidence(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    checks = tmp_path / "evidence.py"
    checks.write_text(BAD)
    result = tmp_path / "result.xml"
    words = ("image", "test", checks, "--image", ci_image, "--timeout", BOOT, "--junit", result)
    said = rastos(*words, status=1)
    assert "FAILED: 4 checks" in said and "AssertionError" in said and "evidence.py:13" in said
    kept = Path(environment()["RASTOS_CACHE"]) / "vm/failed/evidence/box"
    assert str(kept.parent) in said
    assert {path.name for path in kept.iterdir()} == {"console.log", "journal.txt", "screenshot.png"}
    assert "rastos-ci" in (kept / "journal.txt").read_text()
    suite = ElementTree.parse(result).getroot()[0]
    failures = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failures == ["test_what_is_not_so"], "and the machine came back after the crash"


USERS_TESTS = """
import pytest

pytestmark = pytest.mark.machine(boot="direct", memory=512)
boots = set()


def test_first(machine):
    boots.add(machine.succeed("cat /proc/sys/kernel/random/boot_id"))
    machine.wait_for_unit("systemd-networkd.service", 120)


def test_same_machine(machine):
    assert machine.succeed("cat /proc/sys/kernel/random/boot_id") in boots


def test_fails(machine):
    machine.succeed("echo its words >&2; exit 3")
"""


def plugin_options() -> list[str]:
    """None where rastos is installed with its entry point."""
    found = importlib.metadata.entry_points(group="pytest11")
    return [] if any(item.value == PLUGIN for item in found) else ["-p", PLUGIN]


@pytest.fixture
def users(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Somebody else's tests."""
    for name, value in environment().items():
        if name.startswith("RASTOS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester


@pytest.mark.long
def test_users_test_their_own_image(users: pytest.Pytester, ci_image: Path, tmp_path: Path) -> None:
    users.makepyfile(USERS_TESTS)
    options = [
        *plugin_options(),
        "--rastos-image",
        str(ci_image),
        "--rastos-timeout",
        BOOT,
        "--rastos-keep",
        str(tmp_path),
    ]
    done = users.runpytest_subprocess(*options)
    done.assert_outcomes(passed=2, failed=1)
    text = done.stdout.str()
    assert "its words" in text and "console of machine" in text and "login" in text
    (shot,) = tmp_path.rglob("screenshot.png")
    assert str(shot) in text and "test_fails" in str(shot)
    assert (shot.parent / "journal.txt").read_text() and (shot.parent / "console.log").stat().st_size


def test_the_plugin_says_what_is_wrong_without_booting(users: pytest.Pytester, tmp_path: Path) -> None:
    users.makepyfile("import pytest\n\n@pytest.mark.machine(scope='day')\ndef test_a(machine):\n    pass\n")
    image = tmp_path / "image.raw"
    options = [*plugin_options(), "--strict-markers"]
    done = users.runpytest_subprocess(*options, "--rastos-image", str(image))
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([f"*there is no image {image}*"])
    image.touch()
    done = users.runpytest_subprocess(*options, "--rastos-image", str(image))
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*the mark machine is written so*"])


def test_the_plugin_loads_nothing_when_unused() -> None:
    code = f"import sys, {PLUGIN}; print([name for name in sys.modules if name.startswith('rastos.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "['rastos.cli', 'rastos.cli.pytest_plugin']"
