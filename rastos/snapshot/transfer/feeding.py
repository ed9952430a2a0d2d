"""Giving a stream to `btrfs receive`, which is shut into one folder and gets nothing that was not looked at."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import spawn
from rastos.progress import Step

from .stream import Scanner


def feed(stream: Iterator[bytes], folder: Path, scanner: Scanner, step: Step) -> None:
    """Make the stream's subvolume in a folder. IntegrityError: refused; OSError: no space; ExternalError: btrfs could not.

    `-C`: it changes its root to the folder, so that no link in the stream leads out of it (btrfs-receive(8)).
    """
    came = 0
    argv: list[str | Path] = ["btrfs", "receive", "-q", "-e", "-C", folder]
    with spawn(argv, stdin=-1, stderr=-1, death_signal=signal.SIGKILL) as process:
        assert process.stdin and process.stderr
        try:
            for data in stream:
                scanner.feed(data)
                process.stdin.write(data)
                came += len(data)
                step.advance(came)
            scanner.finish()
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why below
        words = process.stderr.read().decode("utf-8", "replace")
        status = process.wait()
    if status == 0:
        return
    if "No space left" in words:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(folder))
    raise ExternalError(
        f"could not receive the snapshot: btrfs receive ended with status {status}",
        next_step="nothing was kept of it; read its words below, then send it again, whole",
        status=status,
        tail="\n".join(line for line in words.strip().splitlines() if not line.startswith("Chroot to")),
    )
