"""Files of checks: what is wrong in them is told with its line; what they ask is looked at."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rastos.errors import ExternalError, UserError
from rastos.installer.vm import Check, TestReport, junit_xml, load_suite
from rastos.installer.vm.conditions import Condition, look_for
from rastos.installer.vm.driver import Machine
from rastos.installer.vm.guest import Answer
from tests.conftest import ROOT


def written(folder: Path, text: str, name: str = "checks.toml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


GOOD = """\
    [[machines]]
    name = "web"
    boot = "direct"
    network = "lan"
    disks = ["1G"]
    [[machines]]
    name = "client"
    image = "other.qcow2"

    [[checks]]
    machine = "web"
    unit = "sshd.service"
    [[checks]]
    name = "a name"
    machine = "client"
    run = "true"
    """


def test_a_file_is_read(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, GOOD))
    web, client = suite.machines
    assert (web.way, web.hardware.network, web.hardware.screen) == ("direct", "lan", True)
    assert client.image == tmp_path / "other.qcow2" and client.way == "uefi" and web.image is None
    assert [(item.name, item.machine) for item in suite.checks] == [("unit sshd.service", "web"), ("a name", "client")]


def test_without_machines_there_is_one(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, "[[checks]]\nport = 22\n"))
    assert [item.name for item in suite.machines] == ["machine"] == [item.machine for item in suite.checks]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('boot = "direct"', 'boot = "disk"', 3, "unknown way to boot 'disk'"),
        ('boot = "direct"', "memory = 64", 3, "memory is 64"),
        ('boot = "direct"', "memory = true", 3, "expected a number"),
        ('boot = "direct"', 'bot = "direct"', 3, "did you mean 'boot'"),
        ('disks = ["1G"]', 'disks = ["none.raw"]', 5, "no such disk"),
        ('network = "lan"', 'network = "a/b"', 4, "no name for a network"),
        ('name = "client"', 'name = "web"', 7, "two machines are named 'web'"),
        ('machine = "web"', 'machine = "wbe"', 11, "did you mean 'web'"),
        ('machine = "web"', "", 10, "of several machines a check names one"),
        ('unit = "sshd.service"', 'unit = "a.service"\nexpect = "runs"', 13, "no state of a unit"),
        ('unit = "sshd.service"', 'unit = "a.service"\nport = 22', 13, "one thing to look at, not 2: unit, port"),
        ('unit = "sshd.service"', "port = 99999", 12, "port is 99999"),
        ('unit = "sshd.service"', 'file = "etc/x"', 12, "absolute path"),
        ('unit = "sshd.service"', 'sysctl = "a.b"', 12, "write expect"),
        ('run = "true"', 'run = "true"\nmatches = "("', 17, "no regular expression"),
        ('run = "true"', 'run = "true"\ntimeout = 0', 17, "timeout is 0"),
        ('run = "true"', 'run = "true"\nabsent = true', 17, "absent without a text"),
        ('run = "true"', "", 13, "a check names one thing"),
        ("[[checks]]\n    machine", "[checks]\n    machine", 10, ""),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        load_suite(written(tmp_path, GOOD.replace(old, new.replace("\n", "\n    "), 1)))
    said = f"{caught.value}; {caught.value.next_step}"
    assert words in said
    if words:
        assert caught.value.on == f"{tmp_path}/checks.toml:{line}", said


def test_a_file_with_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to check"):
        load_suite(written(tmp_path, '[[machines]]\nname = "a"\n'))
    with pytest.raises(UserError, match="nothing to check"):
        load_suite(written(tmp_path, "x = 1\n", "a.py"))
    with pytest.raises(UserError, match="no such file"):
        load_suite(tmp_path / "none.toml")


PYTHON = """\
    from rastos.testing import machine
    MACHINES = [machine("web", memory=512, network="lan"), machine("client")]

    def helper(): raise RuntimeError

    def test_first(web, client):
        "The first"
        return "seen"

    def test_second(machines):
        assert sorted(machines) == []
    """


def test_python_functions_are_checks(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, PYTHON, "a.py"))
    assert [item.hardware.network for item in suite.machines] == ["lan", ""]
    assert [(item.name, item.machine) for item in suite.checks] == [("The first", "web"), ("test_second", "web")]
    machines: Any = {"web": 1, "client": 2}
    assert suite.checks[0].look(machines) == "seen"
    with pytest.raises(AssertionError, match=r"a\.py:11"):
        suite.checks[1].look(machines)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("def test_a(nobody): pass\n", ":1", "wants 'nobody'"),
        ("x = 1\ny = 1 / 0\n", ":2", "ZeroDivisionError"),
        ("def test_a(:\n", ":1", "not Python"),
        ("MACHINES = ['a']\ndef test_a(): pass\n", "", "no list of machines"),
    ],
)
def test_what_is_wrong_in_python(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_suite(written(tmp_path, text, "a.py"))
    assert caught.value.on == f"{tmp_path}/a.py{place}"


class Guest(Machine):
    """A machine that answers from a table: command's beginning → (status, output)."""

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers = answers

    @property
    def name(self) -> str:
        return "guest"

    def execute(self, command: str, timeout: float = 60.0) -> Answer:
        status, text = next((value for key, value in self.answers.items() if command.startswith(key)), (1, ""))
        return Answer(status, text, "")

    def _wait(self, what: str, timeout: float, ready: Any, saw: Any = str, pause: float = 0.1) -> None:
        if not ready():
            raise ExternalError(f"{what}: not within {timeout:g} s")


TABLE = (
    "  sl  local_address rem_address   st\n   0: 00000000:0050 00000000:0000 0A\n   1: 0100007F:1F90 00000000:0000 01\n"
)
ANSWERS = {
    "echo": (0, "one\ntwo\n"),
    "false": (1, ""),
    "cat /proc/net/tcp": (0, TABLE),
    "cat /proc/sys/net/x": (0, "1\t2\n"),
    "cat /etc/x": (0, "hello\n"),
    "test -e /etc/x": (0, ""),
    "zcat": (0, "CONFIG_A=y\nCONFIG_M=m\n# CONFIG_B is not set\n"),
    "systemctl show -p ActiveState,SubState,Result,LoadState a": (0, "ActiveState=active\n"),
    "systemctl show -p ActiveState,SubState,Result,LoadState f": (0, "ActiveState=failed\nResult=exit-code\n"),
    "systemctl show -p ActiveState --value a": (0, "active\n"),
    "systemctl status": (3, "its last words"),
}


@pytest.mark.parametrize(
    ("condition", "fails"),
    [
        (Condition("run", "echo", expect="two"), ""),
        (Condition("run", "echo", expect="three"), "it does not say 'three'"),
        (Condition("run", "echo", expect="two", absent=True), "it says 'two'"),
        (Condition("run", "echo", matches="^two$"), ""),
        (Condition("run", "echo", matches="^wo"), "does not say /"),
        (Condition("run", "false", status=1), ""),
        (Condition("run", "false"), "ended with status 1"),
        (Condition("run", "false", wait=True), "not within"),
        (Condition("port", 80), ""),
        (Condition("port", 8080), "listens on port 8080: not within"),
        (Condition("port", 8080, absent=True), ""),
        (Condition("port", 80, absent=True), "something listens"),
        (Condition("sysctl", "net.x", expect="1 2"), ""),
        (Condition("sysctl", "net.x", expect="1 3"), "net.x is 1 2, expected 1 3"),
        (Condition("file", "/etc/x", expect="hello"), ""),
        (Condition("file", "/etc/x", expect="bye"), "does not hold 'bye'"),
        (Condition("file", "/etc/x", absent=True), "is there"),
        (Condition("file", "/etc/y", absent=True), ""),
        (Condition("kernel", "A"), ""),
        (Condition("kernel", "CONFIG_M"), "CONFIG_M is m, expected y"),
        (Condition("kernel", "M", expect="m"), ""),
        (Condition("kernel", "B", expect="n"), ""),
        (Condition("unit", "a"), ""),
        (Condition("unit", "f"), r"f failed \(exit-code\)"),
        (Condition("unit", "f", expect="failed"), ""),
        (Condition("unit", "a", absent=True), "a is active"),
        (Condition("journal", "bad", absent=True), ""),
        (Condition("journal", "good"), "not within"),
    ],
    ids=lambda value: value.title if isinstance(value, Condition) else None,
)
def test_conditions(condition: Condition, fails: str) -> None:
    guest = Guest(ANSWERS)
    if not fails:
        assert look_for(condition, guest)
        return
    with pytest.raises(ExternalError, match=fails):
        look_for(condition, guest)


def test_junit_is_well_formed_whatever_a_guest_says() -> None:
    checks = (
        Check("boots", "uefi", True, "up", 1.5, "web"),
        Check("says \x1b[1m & <x>", "uefi", False, "line 1 \x00\x08\ufffe\nline 2", 0.25, "web"),
    )
    report = TestReport(Path("/x/suite.toml"), checks, (), (Path("/kept/console.log"),))
    root = ElementTree.fromstring(junit_xml(report))
    (suite,) = root
    assert root.tag == "testsuites" and (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "2",
        "1",
        "0",
    )
    good, bad = suite.findall("testcase")
    assert good.get("classname") == "suite.web.uefi" and good.find("failure") is None
    failure = bad.find("failure")
    assert failure is not None and "line 2" in (failure.text or "") and "\x1b" not in str(bad.get("name"))


def test_the_examples_are_sound() -> None:
    found = sorted((ROOT / "docs/examples/image-tests").iterdir())
    assert found and all(load_suite(path).checks for path in found if not path.name.startswith(("test_", "_")))
