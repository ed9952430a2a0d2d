"""A process killed in the middle of anything leaves no mount, loop device, program or half-written file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos.errors import HostError
from rastos.host import attached, bound, mounted, run, run_in_root, system_mounts, write_atomic
from tests.conftest import need

START = "import sys, time\nfrom pathlib import Path\nfrom rastos.host import *\nplace = Path(sys.argv[1])\n"
HELD = "print('ready', flush=True)\ntime.sleep(300)\n"
BLOCKS = {
    "mounted": "with mounted('tmpfs', place, 'tmpfs'):\n    (place / 'x').write_text('x')\n    ",
    "bound": "with bound(Path('/usr'), place, read_only=True):\n    ",
    "attached": "with attached(place.parent / 'disk', offset=4096, size=1 << 20) as device:\n    ",
    "loop and mount": "with attached(place.parent / 'disk') as device, mounted(device, place, 'ext4'):\n    ",
    "spawn": "with spawn(['sleep', '31337']):\n    ",
    "spawn with a child": "with spawn(['sh', '-c', 'sleep 31337 & wait']):\n    time.sleep(0.3)\n    ",
    "system mounts": "with system_mounts(place):\n    ",
}


def _mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def _loops(disk: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [str(path) for path in files if _read(path).startswith(str(disk))]


def _sleepers() -> list[int]:
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if _read(path).split("\0")[:2] == ["sleep", "31337"]
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _soon(condition: Callable[[], bool], seconds: float = 8.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(16 << 20)
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", BLOCKS)
def test_killed_in_the_middle(name: str, number: signal.Signals, place: Path) -> None:
    if "ext4" in BLOCKS[name]:
        need("mkfs.ext4")
        run(["mkfs.ext4", "-q", place.parent / "disk"])
    before = _mounts()
    process = subprocess.Popen(
        [sys.executable, "-c", START + BLOCKS[name] + HELD.replace("\n", "\n    ", 1), str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        assert _mounts() == before, "the mount is seen outside its process"
        process.send_signal(number)
    assert _soon(lambda: not _loops(place.parent / "disk")), "a loop device is left"
    assert _soon(lambda: not _sleepers()), "a program is left"
    assert _mounts() == before
    assert not list(place.iterdir()) or name == "system mounts"


def test_killed_while_a_program_runs_in_a_root(place: Path) -> None:
    code = START + (
        "with bound(Path('/'), place, read_only=True):\n"
        "    run_in_root(place, ['sh', '-c', '(setsid sleep 31337 &) ; echo up; sleep 31337'],"
        " on_line=lambda line: print(line, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        assert _soon(lambda: len(_sleepers()) == 2)
        os.kill(process.pid, signal.SIGKILL)
    assert _soon(lambda: not _sleepers()), "what a killed run left in its root lives on"


def test_a_daemon_started_in_a_root_ends_with_the_command(place: Path) -> None:
    with bound(Path("/"), place, read_only=True):
        run_in_root(place, ["sh", "-c", "setsid sleep 31337 & true"], timeout=20)
    assert _soon(lambda: not _sleepers())


def test_a_small_dev_of_its_own(place: Path) -> None:
    with mounted("tmpfs", place, "tmpfs"):
        with system_mounts(place):
            names = {path.name for path in (place / "dev").iterdir()}
            assert {"null", "zero", "urandom", "pts", "shm"} <= names
            assert not any(name.startswith(("loop", "sd", "vd", "kvm", "mem")) for name in names)
        assert not list(place.iterdir()), "mount points made for it are removed again"


def test_a_full_disk_keeps_the_old_file(place: Path) -> None:
    with mounted("tmpfs", place, "tmpfs", ("size=256k",)):
        write_atomic(place / "file", "old")
        with pytest.raises(OSError) as caught:
            write_atomic(place / "file", b"x" * (1 << 20))
        assert caught.value.errno == errno.ENOSPC
        assert (place / "file").read_text() == "old" and [item.name for item in place.iterdir()] == ["file"]


def test_a_loop_shows_only_its_part(place: Path) -> None:
    disk = place.parent / "disk"
    with disk.open("r+b") as stream:
        stream.seek(8192)
        stream.write(b"here")
    with attached(disk, offset=8192, size=4096, read_only=True) as device:
        assert device.read_bytes() == b"here" + bytes(4092)
        with pytest.raises(OSError), device.open("r+b") as writer:
            writer.write(b"x")
    assert _soon(lambda: not _loops(disk))


def test_what_cannot_be_mounted_is_named(place: Path) -> None:
    with pytest.raises(HostError, match="cannot mount"), mounted("tmpfs", place, "rastos-unknown-fs"):
        pass


def test_a_bind_can_be_read_only(place: Path) -> None:
    source = place.parent / "source"
    source.mkdir()
    with bound(source, place, read_only=True), pytest.raises(OSError) as caught:
        (place / "x").write_text("x")
    assert caught.value.errno == errno.EROFS
