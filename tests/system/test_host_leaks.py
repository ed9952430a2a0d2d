"""SIGKILL in the middle of everything the host layer holds: no mount, loop, process or lock outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos.errors import HostError
from rastos.host import attached, locked, mounted, run, run_in_root, system_mounts, write_atomic
from tests.conftest import ROOT, need

HOLD = {
    "mount": "with mounted('tmpfs', place / 'm', 'tmpfs'): hold()",
    "loop": "with attached(place / 'disk'): hold()",
    "loop and mount": (
        "with attached(place / 'disk') as d, mounted(d, place / 'm', 'btrfs') as top: (top / 'x').write_text('x'); hold()"
    ),
    "process": "with spawn(['sleep', NAP]): hold()",
    "chroot": "with system_mounts(place / 'root') as r: run_in_root(r, ['/bin/busy', NAP], on_line=lambda line: hold())",
    "lock": "with locked(place / 'lock', 'test'): hold()",
}
NAP = f"4217.{os.getpid()}"  # other runs of these tests on this machine have other ones
CHILD = """
import os, sys, time
from pathlib import Path
from rastos.host import attached, locked, mounted, run_in_root, spawn, system_mounts
place, NAP = Path(sys.argv[1]), sys.argv[2]
def hold():
    print("held", flush=True)
    time.sleep(100)
"""


def _until(done: Callable[[], bool], seconds: float = 8) -> bool:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
    return done()


def _loops(place: Path) -> str:
    return run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], check=False).stdout if place else ""


def _processes(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().decode("utf-8", "replace").replace("\0", " ") and path.parent.name != str(
                os.getpid()
            ):
                found.append(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize("what", list(HOLD))
def test_nothing_outlives_sigkill(tmp_path: Path, what: str) -> None:
    need("mkfs.btrfs", "unshare", "gcc")
    (tmp_path / "m").mkdir()
    (tmp_path / "root/bin").mkdir(parents=True)
    with open(tmp_path / "disk", "wb") as stream:
        stream.truncate(128 << 20)
    run(["mkfs.btrfs", "-q", tmp_path / "disk"])
    source = '#include <stdio.h>\n#include <unistd.h>\nint main(void){puts("up");fflush(stdout);for(;;)pause();}\n'
    (tmp_path / "busy.c").write_text(source)
    run(["gcc", "-static", "-o", tmp_path / "root/bin/busy", tmp_path / "busy.c"])
    argv = [sys.executable, "-c", CHILD + HOLD[what], str(tmp_path), NAP]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout and child.stdout.readline() == b"held\n"
        if "loop" in what:
            assert str(tmp_path) in _loops(tmp_path)
        if what in ("process", "chroot"):
            assert len(_processes(NAP)) > 1  # the child itself and what it started
        child.send_signal(signal.SIGKILL)
    assert _until(lambda: str(tmp_path) not in _loops(tmp_path))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert _until(lambda: not _processes(NAP))
    with locked(tmp_path / "lock", "after"):
        pass
    with attached(tmp_path / "disk") as device, mounted(device, tmp_path / "m", "btrfs"):
        pass


def test_a_loop_device_shows_exactly_its_part(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"a" * (1 << 20) + b"b" * (1 << 20) + b"c" * (1 << 20))
    with attached(disk, offset=1 << 20, size=1 << 20) as device:
        assert device.read_bytes() == b"b" * (1 << 20)
        with open(device, "r+b") as stream:
            stream.write(b"B" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
    assert disk.read_bytes()[(1 << 20) - 1 : (1 << 20) + 4097] == b"a" + b"B" * 4096 + b"b"
    with attached(disk, read_only=True) as device, pytest.raises(PermissionError):
        with open(device, "r+b", buffering=0) as raw:  # kernels differ in which of the two they refuse
            raw.write(b"x" * 512)
    with pytest.raises(OSError), attached(disk) as device:
        raise OSError
    assert _until(lambda: str(disk) not in _loops(tmp_path))


def test_many_at_once_get_loop_devices_of_their_own(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from rastos.host import attached
disk = Path(sys.argv[1])
for _ in range(15):
    with attached(disk, read_only=True) as device:
        assert device.read_bytes() == disk.read_bytes()
"""
    children = []
    for number in range(6):
        (tmp_path / f"{number}").write_bytes(bytes([number]) * 8192)
        argv = [sys.executable, "-c", code, str(tmp_path / f"{number}")]
        children.append(subprocess.Popen(argv, cwd=ROOT))
    assert [child.wait() for child in children] == [0] * 6
    assert _until(lambda: str(tmp_path) not in _loops(tmp_path))


def test_mounts_are_private(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, "tmpfs"):
        assert os.path.ismount(tmp_path)
        outside = Path(f"/proc/{os.getppid()}/mountinfo").read_text()
        assert str(tmp_path) not in outside
    assert not os.path.ismount(tmp_path)


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, "tmpfs", ("size=64k",)):
        write_atomic(tmp_path / "file", "old")
        with pytest.raises(OSError, match="No space"):
            write_atomic(tmp_path / "file", b"x" * (1 << 20))
        assert (tmp_path / "file").read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_system_the_kernel_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot mount nosuchfs"), mounted("none", tmp_path, "nosuchfs"):
        pass


def test_programs_in_a_root_see_only_it(tmp_path: Path) -> None:
    need("gcc")
    (tmp_path / "bin").mkdir()
    code = (
        "#include <stdio.h>\n#include <unistd.h>\n#include <sys/stat.h>\n"
        'int main(void){struct stat s;printf("%d %d %d",getpid()<9,stat("/dev/null",&s)==0,stat("/dev/vda",&s)==0);return 0;}\n'
    )
    (tmp_path / "see.c").write_text(code)
    run(["gcc", "-static", "-o", tmp_path / "bin/see", tmp_path / "see.c"])
    with system_mounts(tmp_path) as root:
        assert run_in_root(root, ["/bin/see"]).stdout == "1 1 0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "see.c"]
