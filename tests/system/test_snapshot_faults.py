"""Every step of every operation, killed, failed and out of space: something complete always boots, and it recovers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.progress import Progress
from rastos.snapshot import deploy, plan_deploy
from rastos.snapshot.bootentry import ENTRIES
from rastos.snapshot.etc_apply import note_conflicts, open_conflicts
from rastos.snapshot.etc_merge import EtcConflict
from tests.conftest import ROOT, need
from tests.system.storehouse import child, first_snapshot, flaws, leftovers, make_files, mounted_store

OPERATIONS = {
    "deploy": "deploy(store, replace(plan_deploy(store, 1), prune=(Prunable(2, 2, 0),)), Progress())",
    "cancel": "cancel(store, plan_cancel(store))",
    "keep": "keep(store, plan_keep(store, 2))",
    "etc": "change_etc(store, plan_resolve(store, 'settle', 'theirs'))",
    "copy": "create_snapshot(store, 0, 'new one')",
    "copies": "copy_snapshots(store, plan_clone_tree(store, 0))",
    "delete": "delete(store, plan_delete(store, 2))",
}
CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from rastos.host import faults
from rastos.progress import Progress
from rastos.snapshot import (
    Prunable, cancel, change_etc, copy_snapshots, create_snapshot, delete, deploy, keep, plan_cancel, plan_clone_tree,
    plan_delete, plan_deploy, plan_keep, plan_resolve,
)
from tests.system.storehouse import child, mounted_store
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    {operation}
"""


def _steps() -> list[str]:
    """Every named step in the snapshot room, read from its sources: a new one is tested without being listed here."""
    # swaps of folders have no boot entries: test_package_swap.py; sessions neither: test_session_faults.py
    apart = ("swap", "session", "recursive", "rebase")
    sources = [path for path in sorted((ROOT / "rastos/snapshot").glob("*.py")) if not path.name.startswith(apart)]
    text = "".join(path.read_text() for path in sources)
    return sorted(set(re.findall(r'faults\.reached\("([a-z.]+)"\)', text)))


def test_there_are_steps_to_stop_at() -> None:
    assert len(_steps()) >= 10
    assert {step.partition(".")[0] for step in _steps()} == set(OPERATIONS)


@pytest.mark.parametrize("kind", ["kill", "error", "enospc", "eio"])
@pytest.mark.parametrize("step", _steps())
def test_stopped_anywhere_it_still_boots_and_recovers(tmp_path: Path, step: str, kind: str) -> None:
    need("mkfs.btrfs", "mkfs.vfat", "mcopy")
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True) as store:
        first_snapshot(store)
        deploy(store, plan_deploy(store, 0), Progress())
        store.esp.rename(f"{ENTRIES}/rastos-1+3.conf", f"{ENTRIES}/rastos-1.conf")
        child(store, 0, "second", {"etc/app.conf": "two\n", "usr/lib/modules/6.1-test/kernel/btrfs.ko": "ELF two"})
        child(store, 0, "third", {"etc/app.conf": "three\n"})
        child(store, 2, "below the third", {"etc/app.conf": "four\n"})
        deploy(store, plan_deploy(store, 2), Progress())
        deploy(store, plan_deploy(store, 0), Progress())
        etc = store.deployment_path(3) / "etc"
        (etc / "settle").write_text("ours")
        (etc / "settle.rastos-new").write_text("theirs")
        note_conflicts(etc, (EtcConflict("settle", "for the test", "settle.rastos-new"),))
    code = CHILD.format(operation=OPERATIONS[step.partition(".")[0]])
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, f"{step}={kind}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == (-signal.SIGKILL if kind == "kill" else 1), done.stderr
    with mounted_store(tmp_path, writable=False) as store:
        assert flaws(store) == []
        assert "rastos-1.conf" in store.esp.list(ENTRIES)  # the last known-good one
    with mounted_store(tmp_path) as store:
        assert flaws(store) == []
        assert leftovers(store) == []
        etc = store.deployment_path(3) / "etc"
        if etc.is_dir():  # one or the other, whole; as long as the conflict is open, theirs lies there
            settled = not open_conflicts(etc)
            assert (etc / "settle").read_text() in (("theirs",) if settled else ("ours", "theirs"))
            assert (etc / "settle.rastos-new").exists() is not settled
            assert not list(etc.glob("*.rastos-making"))
        deploy(store, plan_deploy(store, 1), Progress())
        current = store.current()
        assert current is not None and current.snapshot == 1
        assert (store.deployment_path(current.number) / "etc/app.conf").read_text() == "two\n"
        assert flaws(store) == []
        assert leftovers(store) == []


def test_the_check_sees_what_is_broken(tmp_path: Path) -> None:
    need("mkfs.btrfs", "mkfs.vfat", "mcopy")
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True) as store:
        assert flaws(store) == ["no boot entry"]
        first_snapshot(store)
        plan = plan_deploy(store, 0)
        deploy(store, plan, Progress())
        assert flaws(store) == []
        kernel = store.esp.read(plan.kernel_path)
        store.esp.write(plan.kernel_path, b"other")
        assert any("kernel" in flaw for flaw in flaws(store))
        store.esp.remove(plan.kernel_path)
        assert any("not on the ESP" in flaw for flaw in flaws(store))
        store.esp.write(plan.kernel_path, kernel)
        assert flaws(store) == []
        (store.deployment_path(1) / "etc/hostname").unlink()
        assert any("/etc is not complete" in flaw for flaw in flaws(store))
