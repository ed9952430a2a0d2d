"""`rastos snapshot ...` in a forked process: what is imported already needn't be again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rastos.host import faults

MANIFEST = "schema = 1\n[sets.base]\npackages = []\n"


def command(disk: Path, words: tuple[str, ...], fault: str = "", trace: Path | None = None) -> tuple[int, str]:
    """Run it with an image; FOLDER in words is the image's. `trace`: a file for the steps it comes by. Status, output."""
    said = disk.with_name("said")
    child = command_later(disk, words, said, fault, trace)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, said.read_text()


def command_later(disk: Path, words: tuple[str, ...], said: Path, fault: str = "", trace: Path | None = None) -> int:
    """Begin it; the process id. Its output goes to the file `said`."""
    disk.with_name("packages.toml").write_text(MANIFEST)
    child = os.fork()
    if child == 0:
        _be_rastos(disk, [word.replace("FOLDER", str(disk.parent)) for word in words], said, fault, trace)
    return child


def ended() -> tuple[int, int]:
    """Wait for one of those begun: its process id and exit status."""
    child, status = os.wait()
    return child, os.waitstatus_to_exitcode(status)


def _be_rastos(disk: Path, words: list[str], said: Path, fault: str, trace: Path | None) -> None:
    status = 70
    try:
        with said.open("w") as stream:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = open(os.devnull), open(1, "w", closefd=False), open(2, "w", closefd=False)
        os.chdir(disk.parent)
        os.environ.update(RASTOS_FAULT=fault, RASTOS_CACHE=str(disk.parent / "cache"))
        if trace is not None:
            with trace.open("w", buffering=1) as steps:
                faults.reached = lambda step: print(step, file=steps)  # type: ignore[assignment]
                status = _main(words, disk)
        else:
            status = _main(words, disk)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _main(words: list[str], disk: Path) -> int:
    from rastos.__main__ import main

    place = words.index("--") if "--" in words else len(words)
    sys.argv = ["rastos", "snapshot", *words[:place], "--image", str(disk), *words[place:]]
    try:
        code = main()  # type: ignore[func-returns-value]
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    return code if isinstance(code, int) else 0 if code is None else 1
