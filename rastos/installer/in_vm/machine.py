"""The machine that works: QEMU's command line as a value, and one run of it from its start to its result."""

from __future__ import annotations

import os
import select
import shlex
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.config import PACKAGED
from rastos.errors import ExternalError, HostError
from rastos.host import Popen, require_programs, run, spawn

from ..vm import Accelerator, probe_accelerator
from .messages import LONGEST, PORT

INIT = Path(__file__).with_name("init.sh")
MEMORY = 2048  # MiB
LENGTH = 8
_CONSOLE_TAIL = 60  # lines


@dataclass(frozen=True, slots=True)
class WorkMachine:
    """A machine whose root is this host's `/`, read-only; it writes to `scratch` (raw) and to the folder `handover`.

    `port` is the number of an open socket, the machine's only way to speak; it has no network. `memory` in MiB.
    """

    accelerator: Accelerator
    kernel: Path
    scratch: Path
    handover: Path
    console: Path
    port: int
    memory: int = MEMORY

    def argv(self) -> list[str]:
        """QEMU's command line."""
        words = ["qemu-system-x86_64", "-machine", "q35", "-accel", self.accelerator.option]
        words += ["-cpu", self.accelerator.cpu, "-smp", str(self.accelerator.cpus), "-m", str(self.memory)]
        words += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        words += ["-kernel", str(self.kernel), "-append", self.cmdline()]
        words += ["-chardev", f"file,id=console,path={_comma(self.console)}", "-serial", "chardev:console"]
        # none: what the user may not read, the machine can't either; what it hands over is the user's
        words += ["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]
        words += ["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]
        words += ["-fsdev", f"local,id=handover,path={_comma(self.handover)},security_model=none"]
        words += ["-device", "virtio-9p-pci,fsdev=handover,mount_tag=handover"]
        words += ["-drive", f"if=none,id=scratch,format=raw,file={_comma(self.scratch)},discard=unmap,cache=unsafe"]
        words += [
            "-device",
            "virtio-blk-pci,drive=scratch",
            "-device",
            "virtio-rng-pci",
            "-device",
            "virtio-serial-pci",
        ]
        words += ["-chardev", f"socket,id=work,fd={self.port}", "-device", f"virtserialport,chardev=work,name={PORT}"]
        return words

    def cmdline(self) -> str:
        """The kernel's command line; a panic, as when process 1 ends, ends the machine."""
        words = ["root=host", "rootfstype=9p", "rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=524288", "ro"]
        words += ["console=ttyS0", "quiet", "panic=-1", "no_timer_check", "mitigations=off"]
        return " ".join([*words, "init=/bin/sh", "--", f'"{INIT}"'])


def _comma(value: object) -> str:
    return str(value).replace(",", ",,")


def work_in_vm(
    description: bytes,
    read: Callable[[bytes], dict[str, Any] | None],
    *,
    kernel: Callable[[Path], None],
    handover: Path,
    work: Path,
    scratch: int,
    cache: Path,
    timeout: float,
) -> dict[str, Any]:
    """Start a machine, give it the `description` of its work, and pass each line it says to `read` until that returns.

    `kernel` writes the kernel to the file it is given, `scratch` is the size in bytes of the disk for what the machine
    writes (sparse, gone afterwards), `timeout` in seconds. QEMU dies with this thread (PR_SET_PDEATHSIG(2const)).
    Raises ExternalError: the machine ended without a result, or it took too long; and what `read` raises.
    """
    require_programs("qemu-system-x86_64", "mkfs.btrfs")
    if '"' in str(INIT):
        raise HostError(
            "rastos is in a folder with a quotation mark in its name", on=INIT, next_step="install it elsewhere"
        )
    disk = work / "scratch.raw"
    with open(disk, "xb") as stream:
        os.truncate(stream.fileno(), scratch)
    run(["mkfs.btrfs", "--quiet", "-d", "single", "-m", "single", disk], what="make the machine's scratch disk")
    kernel(work / "vmlinuz")
    (handover / "start").write_text(_start())
    console = work / "console.log"
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        machine = WorkMachine(probe_accelerator(cache), work / "vmlinuz", disk, handover, console, theirs.fileno())
        words = stack.enter_context((work / "qemu.log").open("wb"))
        qemu = stack.enter_context(
            spawn(machine.argv(), stdout=words, stderr=words, death_signal=9, pass_fds=[theirs.fileno()])
        )
        theirs.close()
        ours.setblocking(False)
        try:
            return _talk(qemu, ours, len(description).to_bytes(LENGTH, "little") + description, read, timeout)
        except _Ended as ended:
            said = _tail(work / "qemu.log") + _tail(console)
            raise ExternalError(
                f"the virtual machine that does the work {ended}",
                next_step="read its last words below; --timeout gives it longer, as root it isn't needed",
                argv=machine.argv(),
                status=qemu.poll(),
                tail=said,
            ) from None


class _Ended(Exception):
    """The machine came to no result; how."""


def _talk(
    qemu: Popen[bytes],
    port: socket.socket,
    description: bytes,
    read: Callable[[bytes], dict[str, Any] | None],
    timeout: float,
) -> dict[str, Any]:
    deadline, unsent, rest = time.monotonic() + timeout, memoryview(description), bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Ended(f"did not end within {timeout:g} s")
        readable, writable, _ = select.select([port], [port] if unsent else [], [], min(left, 1.0))
        if writable:
            try:
                unsent = unsent[port.send(unsent[:65536]) :]
            except (BrokenPipeError, ConnectionResetError):
                raise _Ended("ended without a result") from None
        if not readable:
            if qemu.poll() is not None:
                raise _Ended("ended without a result")
            continue
        try:
            piece = port.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise _Ended("ended without a result")
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST:
            raise _Ended("said something that is no message")
        for line in lines:
            try:
                result = read(bytes(line))
            except ValueError as error:
                raise _Ended(f"said something that is no message ({error})") from error
            if result is not None:
                return result


def _start() -> str:
    """The shell script that starts the worker in the machine: this Python, these modules."""
    folders = [str(PACKAGED.parent), *(path for path in sys.path if path.startswith("/"))]
    words = [
        "env",
        "-i",
        "HOME=/run/home",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    words += [
        f"PYTHONPATH={os.pathsep.join(dict.fromkeys(folders))}",
        sys.executable,
        "-P",
        "-m",
        f"{__package__}.worker",
    ]
    return f"cd /\n{shlex.join(words)}\n"


def _tail(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "".join(f"{line}\n" for line in lines[-_CONSOLE_TAIL:])
