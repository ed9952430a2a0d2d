"""Machines that crash, hang, die or are asked to stop; with a kernel and a tiny init, so each takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer.vm import MachineSpec, probe_accelerator
from rastos.installer.vm.machine import GuestCrashed, Machine, started
from tests.boot.conftest import environment
from tests.conftest import ROOT

INIT = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/reboot.h>
int main(void)
{
	char line[2048] = "";
	int console = open("/dev/console", O_RDWR);
	dup2(console, 1);
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, "");
	int file = open("/proc/cmdline", O_RDONLY);
	read(file, line, sizeof line - 1);
	dprintf(1, "init is up\n");
	if (strstr(line, "do=panic"))
		return 1; /* PID 1 ending is a panic */
	if (strstr(line, "do=off"))
		reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
"""


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("initramfs")
    (place / "init.c").write_text(INIT.replace("#include <unistd.h>", "#include <unistd.h>\n#include <sys/stat.h>"))
    (place / "tree/dev").mkdir(parents=True)
    subprocess.run(["gcc", "-static", "-Os", "-w", "-o", "tree/init", "init.c"], cwd=place, check=True)
    os.mknod(place / "tree/dev/console", 0o600 | 0o020000, os.makedev(5, 1))
    names = b"dev\ndev/console\ninit\n"
    with open(place / "initramfs", "wb") as stream:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"], cwd=place / "tree", input=names, stdout=stream, check=True
        )
    return place / "initramfs"


@contextmanager
def guest(bzimage: Path, initramfs: Path, folder: Path, what: str) -> Iterator[Machine]:
    accelerator = probe_accelerator(Path(environment()["RASTOS_CACHE"]))
    spec = MachineSpec(
        runtime=folder,
        accel=accelerator.option,
        cpu=accelerator.cpu,
        memory=256,
        cpus=1,
        kernel=bzimage,
        initrd=initramfs,
        cmdline=f"console=ttyS0 panic=0 do={what}",
    )
    with started(spec) as machine:
        yield machine


def test_probe_is_quick_and_remembered(tmp_path: Path) -> None:
    began = time.monotonic()
    first = probe_accelerator(tmp_path)
    assert time.monotonic() - began < 10
    assert first.name in ("kvm", "tcg")
    began = time.monotonic()
    assert probe_accelerator(tmp_path) == first
    assert time.monotonic() - began < 1


def test_a_panic_is_a_result(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "panic") as machine, pytest.raises(GuestCrashed) as caught:
        machine.wait_console("never said", timeout=60)
    assert "Attempted to kill init" in caught.value.tail


def test_a_hang_ends_at_the_deadline_and_says_what_was_seen(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console("init is up", timeout=60)
        began = time.monotonic()
        with pytest.raises(ExternalError) as caught:
            machine.wait_agent(timeout=3)
        assert time.monotonic() - began < 8
        assert "not within 3 s" in caught.value.what
        assert "init is up" in caught.value.tail


def test_qemu_killed_ends_a_wait_at_once(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console("init is up", timeout=60)
        machine.process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(ExternalError, match="QEMU ended"):
            machine.wait_console("never said", timeout=60)
        assert time.monotonic() - began < 5


def test_power_off_ends_cleanly(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "off") as machine:
        machine.process.wait(60)
        assert machine.process.returncode == 0


def test_pulling_the_plug(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    with guest(bzimage, initramfs, tmp_path, "hang") as machine:
        machine.wait_console("init is up", timeout=60)
        machine.crash()
        assert machine.process.poll() is not None


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.boot.test_machine import guest
with guest(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), "hang") as machine:
    print(machine.process.pid, flush=True)
    machine.wait_console("never said", timeout=100)
"""


def test_qemu_dies_with_a_killed_parent(bzimage: Path, initramfs: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PARENT, str(ROOT), str(bzimage), str(initramfs), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout
        qemu = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{qemu}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{qemu}").exists()
