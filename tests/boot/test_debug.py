"""`rastos kernel debug`: a real gdb stops the kernel where it is told to, by the line that was printed."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.boot.conftest import Rastos, environment
from tests.conftest import ROOT, need


@contextmanager
def debugged(*words: str | Path) -> Iterator[str]:
    """The first line that `rastos kernel debug` prints; at the end it is asked to stop, and QEMU with it."""
    argv = [sys.executable, "-m", "rastos", "kernel", "debug", *map(str, words)]
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # where the tests run in the background of a shell, SIGINT is ignored and stays so
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().decode()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def gdb(line: str, *commands: str) -> str:
    argv = shlex.split(line)
    assert argv[0] == "gdb", line
    for command in commands:
        argv += ["-ex", command]
    done = subprocess.run(
        [*argv, "-batch", "-nx"], capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL
    )
    return done.stdout + done.stderr


def qemus(place: str) -> list[str]:
    found = subprocess.run(["pgrep", "-af", "qemu-system"], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if place in line]


def test_gdb_stops_at_start_kernel(rastos: Rastos, ci_kernel: dict[str, Any]) -> None:
    need("gdb", "readelf", "pgrep")
    with debugged("ci", "--wait") as line:
        socket = shlex.split(line)[-1].split()[-1]
        assert Path(socket).is_socket()
        seen = gdb(line, "hbreak start_kernel", "continue", "bt 1", "x/s (char *)&linux_banner", "detach")
        folder = str(Path(socket).parent)
        assert qemus(folder)
    assert "start_kernel" in seen and f"Linux version {ci_kernel['release']}" in seen, seen
    deadline = time.monotonic() + 5
    while qemus(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not qemus(folder) and not Path(folder).exists(), "nothing is left running or lying about"


def test_gdb_in_a_running_image(rastos: Rastos, ci_image: Path) -> None:
    """Addresses are those of vmlinux (no KASLR) with an image too; a breakpoint in the running system is hit."""
    need("gdb", "readelf")
    with debugged("--image", ci_image, "--port", str(_free_port())) as line:
        assert "target remote 127.0.0.1:" in line
        # hit once init runs; until then the stub may listen before the machine has a kernel to stop in
        seen = gdb(line, "hbreak do_exit", "continue", "bt 1", "delete", "detach")
        assert "do_exit ()" in seen.partition("Breakpoint 1, ")[2], seen


def test_what_has_no_vmlinux_says_so(rastos: Rastos, ci_kernel: dict[str, Any]) -> None:
    said = rastos("kernel", "debug", "nothing", status=1)
    assert "no kernel built here" in said
    shown = json.loads(rastos("kernel", "debug", "ci", "--dry-run", "--json"))
    assert shown["release"] == ci_kernel["release"] and Path(shown["vmlinux"]).name == "vmlinux"


def _free_port() -> int:
    from rastos.installer.vm.machine import free_port

    return free_port()
