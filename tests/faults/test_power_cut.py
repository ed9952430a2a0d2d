"""The power goes during create, deploy, rollback, delete and recovery: every write is recorded and played back in part.

After each cut the disk is looked at as firmware and kernel do, by other code than ours; at some the next command recovers.
`make test-faults` tries many more points.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rastos.host import sha256_file
from tests.conftest import need
from tests.faults.disk import make_disk
from tests.faults.replay import Replay, apply, copy_sparse, points
from tests.faults.sweep import LONG, SEED, TALLIES, Recorded, record, sweep, sweep_superblocks

OPERATIONS = {
    "create": "child(store, newest(store), 'new one', changed(9))",
    "deploy": "deploy(store, plan_deploy(store, newest(store)), Progress())",
    "rollback": "deploy(store, plan_rollback(store), Progress())",
    "delete": "delete(store, plan_delete(store, newest(store)))",
}
# of each kind per flush, and how many disks there are to one that is recovered from
EACH = int(os.environ.get("RASTOS_FAULTS_EACH", "12" if LONG else "1"))
RECOVERIES = int(os.environ.get("RASTOS_FAULTS_RECOVERIES", "1" if LONG else "12"))
# taken away one at a time: the sweep has to find what they are there for
CONTROLS = {
    "no fsync of the ESP": "MtoolsEsp._sync = lambda self: None",
    "no sync of the btrfs": "Store.sync = lambda self: None",
}


@pytest.fixture
def disk(quick_folder: Path) -> Path:
    need("mkfs.btrfs", "btrfs", "mkfs.vfat", "mcopy", "sfdisk", "qemu-img", "qemu-io", "qemu-storage-daemon")
    make_disk(quick_folder / "disk.raw")
    return quick_folder / "disk.raw"


def _swept(what: Recorded) -> list[str]:
    tally = sweep(what, each=EACH, recoveries=RECOVERIES)
    TALLIES.append(tally)
    sweep_superblocks(what, tally, most=20 if LONG else 2)
    return tally.wrong


def test_whole_or_not_at_all(disk: Path) -> None:
    """One disk goes through all operations; then a cut deploy is recovered from, and that is cut too."""
    recordings = {name: record(disk, name, operation) for name, operation in OPERATIONS.items()}
    played = disk.with_name("played.raw")
    copy_sparse(recordings["delete"].base, played)
    for epoch in recordings["delete"].recording.epochs:
        apply(played, epoch)
    assert sha256_file(played) == sha256_file(disk)  # nothing was missed
    wrong = [flaw for what in recordings.values() for flaw in _swept(what)]
    for number in (0.4, 0.6, 0.8) if LONG else (0.8,):
        wrong += _swept(_cut_recovery(recordings["deploy"], number))
    assert not wrong, "\n".join(wrong)


def _cut_recovery(what: Recorded, share: float) -> Recorded:
    """The recovery from a deploy that ended after a share of its flushes, recorded."""
    found = [point for point in points(what.recording, seed=SEED, each=1, whole=False) if point.kind == "flush"]
    disk = Replay(what.base, what.recording, what.base.parent).at(found[int(len(found) * share)])
    copy_sparse(disk, disk.with_name("cut.raw"))
    name = f"recovery at {share:.0%} of deploy"
    made = record(disk.with_name("cut.raw"), name, "pass")
    return Recorded(name, made.base, made.recording, what.expected)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_missing_fsync_is_found(disk: Path, control: str) -> None:
    """The negative control: a build without one kind of fsync must not pass."""
    record(disk, "create", OPERATIONS["create"])
    what = record(disk, control, OPERATIONS["deploy"], before=CONTROLS[control])
    tally = sweep(what, each=4, recoveries=10**9, since=0.5, enough=3)
    TALLIES.append(tally)
    assert len(tally.wrong) >= 3
