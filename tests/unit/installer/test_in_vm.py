"""Working in a machine without root: its command line, the kernel it takes, what is believed of what it says."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, RastosError
from rastos.host import Privilege
from rastos.installer.in_vm import creating, machine
from rastos.installer.in_vm.creating import check_vm
from rastos.installer.in_vm.kernel import NEEDED, find_kernel, missing_options, take_kernel
from rastos.installer.in_vm.machine import WorkMachine, work_in_vm
from rastos.installer.in_vm.messages import error_line, event_line, reader, result_line
from rastos.installer.vm import Accelerator
from rastos.package import LocalRepository, PackageMetadata, write_package
from rastos.progress import Began, Ended, Event, Progress

TCG = Accelerator("tcg", "max", "software emulation", "")


def repository(folder: Path, **kernels: str) -> LocalRepository:
    """A repository of kernel packages: profile and configuration."""
    found = LocalRepository(folder / "repository")
    for profile, config in kernels.items():
        tree = folder / profile
        place = tree / f"usr/lib/modules/6.1-{profile}"
        place.mkdir(parents=True)
        (place / "config").write_text(config)
        (place / "vmlinuz").write_bytes(profile.encode())
        metadata = PackageMetadata(name=f"linux-rastos-{profile}", version="6.1-1")
        found.add(write_package(metadata, tree, folder))
    return found


def configuration(*without: str) -> str:
    return "".join(f"CONFIG_{name}={'m' if name in without else 'y'}\n" for name in NEEDED)


def test_the_command_line_gives_the_host_read_only_and_no_network(tmp_path: Path) -> None:
    words = WorkMachine(
        TCG, tmp_path / "k", tmp_path / "a,b.raw", tmp_path / "handover", tmp_path / "console", 7
    ).argv()
    line = " ".join(words)
    assert "path=/,security_model=none,readonly=on" in line
    assert line.count("-fsdev") == 2 and f"path={tmp_path}/handover,security_model=none" in line
    assert "file=" + f"{tmp_path}/a,b.raw".replace(",", ",,") in line
    assert "socket,id=work,fd=7" in line
    assert "-netdev" not in words and "-nic" not in words and "-nodefaults" in words and "-no-reboot" in words
    appended = words[words.index("-append") + 1]
    assert appended.endswith(f'init=/bin/sh -- "{machine.INIT}"') and "panic=-1" in appended
    assert machine.INIT.is_file()


def test_a_module_is_not_built_in() -> None:
    assert missing_options(configuration()) == ()
    assert missing_options(configuration("9P_FS", "BTRFS_FS")) == ("9P_FS", "BTRFS_FS")
    assert missing_options("# CONFIG_9P_FS is not set\n") == NEEDED


def test_the_container_kernel_comes_first_then_any_that_fits(tmp_path: Path) -> None:
    both = repository(tmp_path / "1", aa=configuration(), container=configuration())
    assert find_kernel(both).package.name == "linux-rastos-container"
    other = repository(tmp_path / "2", aa=configuration("9P_FS"), container=configuration(), zz=configuration())
    fitting = find_kernel(other)
    assert fitting.package.name == "linux-rastos-container"
    take_kernel(fitting, tmp_path / "vmlinuz")
    assert (tmp_path / "vmlinuz").read_text() == fitting.package.name.removeprefix("linux-rastos-")
    lacking = repository(tmp_path / "3", container=configuration("OVERLAY_FS"), zz=configuration())
    assert find_kernel(lacking).package.name == "linux-rastos-zz"


def test_no_kernel_fits_and_the_error_says_which_to_build(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        find_kernel(repository(tmp_path, ci=configuration("9P_FS")))
    assert "kernel build --profile container" in caught.value.next_step
    assert "linux-rastos-ci" in caught.value.detail and "9P_FS" in caught.value.detail
    with pytest.raises(HostError, match="none is built"):
        check_vm(LocalRepository(tmp_path / "empty"))


def test_progress_crosses_below_the_step_it_belongs_to() -> None:
    seen: list[Event] = []
    read = reader(Progress(seen.append), 5)
    there = Progress(lambda event: lines.append(event_line(event)))
    lines: list[bytes] = []
    with there.step("outer"), there.step("inner") as inner:
        inner.note("a word")
    for line in lines:
        assert read(line) is None
    began = [event for event in seen if isinstance(event, Began)]
    assert began[0].parent == 5 and began[1].parent == began[0].step > 1000
    assert [event.label for event in seen if isinstance(event, Ended)] == ["inner", "outer"]
    assert read(result_line({"files": ["a"]})) == {"files": ["a"]}


@pytest.mark.parametrize(
    "error",
    [
        ExternalError("mkfs failed", on="/dev/x", next_step="look", tail="last words"),
        BusyError("in use", holder="process 7"),
        IntegrityError("damaged", on="file"),
    ],
)
def test_an_error_keeps_its_kind_and_words(error: RastosError) -> None:
    with pytest.raises(type(error)) as caught:
        reader(Progress(), 0)(error_line(error))
    for name in ("what", "on", "next_step", "detail"):
        assert getattr(caught.value, name) == getattr(error, name)


@pytest.mark.parametrize(
    "line", [b"\xff", b"[]", b"1", b'{"event": "Began"}', b'{"event": "os"}', b'{"error": "UserError"}']
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        reader(Progress(), 0)(line)


def test_only_plain_files_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "image").write_text("x")
    (tmp_path / "image").chmod(0o4755)
    assert creating._own_file(tmp_path / "image").stat().st_mode & 0o7777 == 0o644
    (tmp_path / "link").symlink_to(tmp_path / "image")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "missing"):
        with pytest.raises(IntegrityError):
            creating._own_file(tmp_path / name)


def fake_machine(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A machine that is a Python program with the port's number as its argument."""
    monkeypatch.setattr(WorkMachine, "argv", lambda self: [sys.executable, "-c", program, str(self.port)], raising=True)
    monkeypatch.setattr(machine, "probe_accelerator", lambda cache: TCG)
    monkeypatch.setattr(machine, "require_programs", lambda *names: None)
    monkeypatch.setattr(machine, "run", lambda *words, **options: None)


def worked(tmp_path: Path, timeout: float = 20.0) -> dict[str, Any]:
    (tmp_path / "handover").mkdir()
    return work_in_vm(
        b"job" * 100000,
        reader(Progress(), 0),
        kernel=lambda path: None,
        handover=tmp_path / "handover",
        work=tmp_path,
        scratch=1 << 20,
        cache=tmp_path,
        timeout=timeout,
    )


READ_ALL = """
import socket, sys
port = socket.socket(fileno=int(sys.argv[1]))
def take(count):
    found = b""
    while len(found) < count:
        found += port.recv(count - len(found))
    return found
job = take(int.from_bytes(take(8), "little"))
"""


def test_the_work_reaches_the_machine_and_its_result_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = READ_ALL + 'port.sendall(b\'{"result": {"length": %d}}\\n\' % len(job))\nimport time\ntime.sleep(60)\n'
    fake_machine(monkeypatch, program)
    assert worked(tmp_path) == {"length": 300000}
    start = (tmp_path / "handover/start").read_text()
    assert shlex.split(start)[-1] == "rastos.installer.in_vm.worker" and sys.executable in start


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("print('no such device')", "ended without a result"),
        (READ_ALL + "port.sendall(b'rubbish\\n')", "no message"),
        (READ_ALL + "port.sendall(b'x' * (1 << 21))", "no message"),
        (READ_ALL + "import time\ntime.sleep(60)", "did not end within 2 s"),
    ],
)
def test_a_machine_without_a_result_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, what: str
) -> None:
    fake_machine(monkeypatch, program)
    with pytest.raises(ExternalError, match=what) as caught:
        worked(tmp_path, timeout=2.0)
    if "print" in program:
        assert "no such device" in caught.value.tail


def test_who_is_root() -> None:
    assert Privilege(0, True).is_root
    assert not Privilege(0, False).is_root and not Privilege(1000, True).is_root
