"""Every changing command stopped at each named step it comes by: killed, failed, out of space, with an I/O error.

Which steps those are is found by running the command once; the commands are those of tests/faults/verbs.py. By default each
step of a command is stopped in one way, taken in turn; `make test-faults` tries all four.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.host import faults
from rastos.snapshot import examine
from tests.conftest import ROOT, need
from tests.faults.disk import layout, make_disk, opened
from tests.faults.fat import FatReader
from tests.faults.replay import copy_sparse
from tests.faults.sweep import LONG
from tests.faults.verbs import VERBS, Verb
from tests.system.storehouse import flaws, leftovers

WORK = r"""
#include <stdio.h>
int main(void) { FILE *f = fopen("/etc/worked", "a"); return !f || fputs("worked\n", f) < 0 || fclose(f); }
"""
MANIFEST = 'schema = 1\n[sets.base]\npackages = []\n'
KINDS = {"kill": "", "error": "injected failure", "enospc": "the disk is full", "eio": "Input/output error"}
reached: dict[str, tuple[str, ...]] = {}


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A store with a program that a session can run, and a deployment whose /etc was worked on."""
    need("mkfs.btrfs", "btrfs", "mkfs.vfat", "mcopy", "sfdisk", "qemu-img", "qemu-io", "gcc")
    with tempfile.TemporaryDirectory(prefix="rastos-faults-", dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "work.c").write_text(WORK)
        subprocess.run(["gcc", "-static", "-O", "-o", folder / "work", folder / "work.c"], check=True)
        make_disk(folder / "disk.raw", program=folder / "work")
        yield folder


def command(disk: Path, words: tuple[str, ...], fault: str = "", trace: Path | None = None) -> tuple[int, str]:
    """Run `rastos snapshot WORDS` in a forked process: what is imported already needn't be again. Status and output."""
    said = disk.with_name("said")
    child = os.fork()
    if child == 0:
        _as_rastos(disk, [word.replace("FOLDER", str(disk.parent)) for word in words], said, fault, trace)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, said.read_text()


def _as_rastos(disk: Path, words: list[str], said: Path, fault: str, trace: Path | None) -> None:
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


def _check(disk: Path, verb: Verb, *, recovered: bool) -> None:
    plan = layout()
    with opened(disk, writable=recovered) as store:
        esp = FatReader(disk, plan.esp.start, plan.esp.size)
        assert flaws(store) == []
        assert any(entry.state == "good" for entry in store.entries()) and esp.crossed == []
        if recovered:
            left = [name for name in leftovers(store) if not (verb.keeps_session and name.startswith("sessions/"))]
            assert left == []
            assert [item for item in examine(store) if item.severity != "foreign"] == []
            assert [item.id for item in store.snapshots()] == store.numbers()


@pytest.mark.parametrize("name", VERBS)
def test_stopped_at_every_step(prepared: Path, name: str) -> None:
    verb = VERBS[name]
    with tempfile.TemporaryDirectory(prefix="rastos-faults-", dir="/dev/shm") as place:
        Path(place, "packages.toml").write_text(MANIFEST)
        base, disk, trace = (Path(place, part) for part in ("base.raw", "disk.raw", "steps"))
        copy_sparse(prepared / "disk.raw", base)
        for words in verb.before:
            status, said = command(base, words)
            assert status == 0, said
        copy_sparse(base, disk)
        status, said = command(disk, verb.words, trace=trace)
        assert status == 0, said
        _check(disk, verb, recovered=True)
        reached[name] = tuple(dict.fromkeys(trace.read_text().split()))
        for number, step in enumerate(reached[name]):
            for kind in KINDS if LONG else (list(KINDS)[number % 4],):
                copy_sparse(base, disk)
                status, said = command(disk, verb.words, f"{step}={kind}")
                assert status == (-signal.SIGKILL if kind == "kill" else 1), f"{step}={kind}: {said}"
                assert KINDS[kind] in said and "Traceback" not in said, f"{step}={kind}: {said}"
                _check(disk, verb, recovered=False)
                _check(disk, verb, recovered=True)
                status, said = command(disk, verb.words)
                # once it was committed, some can't be done twice: that is said, and nothing more
                assert status in (0, 1) and "Traceback" not in said, f"again after {step}={kind}: {said}"
                _check(disk, verb, recovered=True)


def test_no_step_is_left_out() -> None:
    """Every step named in the sources was come by, or is stopped by a test named here."""
    if set(reached) != set(VERBS):
        pytest.skip("only some commands were tried")
    text = "".join(path.read_text() for path in sorted((ROOT / "rastos/snapshot").rglob("*.py")))
    named = set(re.findall(r'faults\.reached\("([a-z.]+)"\)', text))
    apart = {step for step in named if step.startswith(("swap.", "repair.", "export.", "send."))}
    missing = named - apart - {step for steps in reached.values() for step in steps}
    assert missing <= ELSEWHERE, f"no command of tests/faults/verbs.py comes by {sorted(missing - ELSEWHERE)}"


ELSEWHERE: set[str] = set()
