"""A program inside another root with a terminal of its own, joined to ours: what is typed goes in, what it shows comes out.

Its terminal is a new one (pts(4)) in the root's own devpts, so that it has a name there, job control works, and nothing in
that root holds a descriptor of ours: TIOCSTI and the like reach only what it has.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import HostError
from rastos.host.mounts import argv_in_root
from rastos.host.run import spawn

# its first process leads a session without a terminal: the one it opens becomes its own (tty(4))
_TAKE = 'exec 0<>"$1" 1>&0 2>&0; shift; exec "$@"'
_BLOCK = 1 << 14
TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430  # ioctl_tty(2)


def interact_in_root(
    root: Path, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, network: bool = False
) -> int:
    """Run a program on a terminal inside `root`, sealed, until it ends; its status (negative: the signal).

    Expects `system_mounts(root)`, and a terminal as our standard input. HostError: there is none.
    """
    if not os.isatty(0):
        raise HostError("standard input is no terminal", next_step="run it from a terminal")
    master = os.open(root / "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        number = struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, struct.pack("i", 0)))[0]
        place = root / "dev/pts" / str(number)
        _copy_size(master)
        command = ["sh", "-c", _TAKE, "sh", place, *argv_in_root(root, argv, network=network, sealed=True)]
        with spawn(command, env=env, death_signal=signal.SIGKILL) as process, _raw_terminal(master):
            keeper = os.open(
                place, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
            )  # else it reads as ended before it is opened
            try:
                while process.poll() is None:
                    _pass_on(master, 0.2)
                while _pass_on(master, 0.05):
                    pass
            finally:
                os.close(keeper)
        return int(process.returncode)
    finally:
        os.close(master)


def _pass_on(master: int, wait: float) -> bool:
    """Bytes in both directions; whether the program said something."""
    ready, _, _ = select.select([0, master], [], [], wait)
    if 0 in ready:
        data = os.read(0, _BLOCK)
        _write(master, data or b"\x04")
    if master in ready:
        _write(1, os.read(master, _BLOCK))
        return True
    return False


def _write(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


@contextmanager
def _raw_terminal(master: int) -> Iterator[None]:
    """Our terminal lets everything through, Ctrl-C too, and its size is the other's; as before afterwards."""
    before = termios.tcgetattr(0)
    resized = signal.signal(signal.SIGWINCH, lambda number, frame: _copy_size(master))
    try:
        tty.setraw(0, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, resized)


def _copy_size(master: int) -> None:
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    except OSError:
        pass
