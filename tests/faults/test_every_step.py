"""Every changing command stopped at each named step it comes by: killed, failed, out of space, with an I/O error.

Which steps those are is found by running the command once; the commands are those of tests/faults/verbs.py. By default each
step of a command is stopped in one way, taken in turn; `make test-faults` tries all four.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.snapshot import examine
from tests.conftest import ROOT, need
from tests.faults.commands import command
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


# steps that need more than one command to come by, and the test that enumerates and stops them
ELSEWHERE_BY = {
    "tests/system/test_snapshot_faults.py": ("deploy.pruned", "etc.settled"),
    "tests/system/test_session_faults.py": (
        *("session.kept", "session.marked", "session.noted", "session.restored", "session.torn", "publish.renamed"),
    ),
    "tests/system/test_snapshot_transfer.py": (
        *("receive.chunk", "receive.cleared", "receive.committed", "receive.described"),
        *("receive.received", "receive.started", "receive.verified"),
    ),
}
ELSEWHERE = {step for steps in ELSEWHERE_BY.values() for step in steps}
