"""A deploy of a real system loses its power, and the disk is really booted: it comes up with the old deployment or the new one.

One deploy is done on the image file (mtools writes the ESP), one by the running system itself (the kernel's vfat does).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rastos.installer.vm import booted
from tests.boot.conftest import call, environment
from tests.conftest import need
from tests.faults.disk import operate
from tests.faults.real import BOOT, Looked, boots_as, cuts, known_etcs, looked, raw_copy
from tests.faults.recording import Recording, read_log, recorded
from tests.faults.replay import Point, Replay, copy_sparse
from tests.faults.sweep import LONG, SEED, TALLIES, Tally

pytestmark = pytest.mark.long  # six boots
PROFILE = """
description = "manages itself"
sets = ["base"]
kernel = "ci"
hostname = "self"
size = "3G"
esp = "64M"
rastos = true
"""
EACH = 3 if LONG else 1
# its kernel's file is another one: so that a deploy writes it to the ESP
OTHER = "truncate -s +512 /usr/lib/modules/*/vmlinuz"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw image with a deployment that is good, four more, and a snapshot that waits for its deploy."""
    need(
        "qemu-system-x86_64",
        "qemu-img",
        "qemu-storage-daemon",
        "mkfs.btrfs",
        "mkfs.vfat",
        "fsck.vfat",
        "mcopy",
        "sfdisk",
    )
    place = tmp_path_factory.mktemp("cut")
    call("kernel", "build", "--profile", "ci")
    (place / "self.toml").write_text(PROFILE)
    call("image", "create", "--profile", place / "self.toml", "--output", place / "self.qcow2")
    at = ("--image", place / "self.qcow2")
    call("snapshot", "keep", *at)
    call("snapshot", "run", "0", "-d", "other kernel", *at, "--", "sh", "-c", OTHER)
    for _ in range(4):  # so that the next one has something to collect
        call("snapshot", "deploy", "0", *at)
    return raw_copy(place / "self.qcow2", place / "disk.raw")


def _swept(name: str, base: Path, recording: Recording, first: int, after: Path) -> dict[Point, Looked]:
    copy_sparse(base, base.with_name("seen.raw"))
    etcs = {**known_etcs(base.with_name("seen.raw")), **known_etcs(after)}
    replay = Replay(base, recording, base.parent)
    tally = Tally(name, sum(map(len, recording.epochs[first:])), recording.flushes - first)
    TALLIES.append(tally)
    found = {}
    for point in cuts(recording, first, each=EACH, seed=SEED):
        found[point] = looked(replay.at(point), etcs)
        tally.tried[point.kind] = tally.tried.get(point.kind, 0) + 1
        if found[point].wrong:
            tally.wrong.append(f"{name}, {point.kind} after {point.epoch} flushes: {'; '.join(found[point].wrong)}")
    return found


def _judge(found: dict[Point, Looked], old: int, new: int) -> list[Point]:
    """Nothing is wrong anywhere; the last points of the old deployment and the first of the new one."""
    wrong = {
        f"{point.kind} after {point.epoch}": seen
        for point, seen in found.items()
        if seen.wrong or seen.boots not in (old, new)
    }
    assert not wrong, wrong
    flushed = [point for point in found if point.kind == "flush"]
    before = [point for point in flushed if found[point].boots == old]
    after = [point for point in flushed if found[point].boots == new]
    assert before and after and before[-1].epoch < after[0].epoch, "the commit is one flush"
    torn = [point for point in found if point.kind == "reordered" and point.epoch == before[-1].epoch]
    return [before[-1], *torn[:1], after[0]]


def _boot(base: Path, recording: Recording, chosen: list[Point], found: dict[Point, Looked]) -> None:
    replay = Replay(base, recording, base.parent)
    for point in chosen:
        cut_disk = replay.at(point).rename(base.with_name("boots.raw"))
        assert boots_as(cut_disk) == found[point].boots, f"{point.kind} after {point.epoch} flushes"


def test_a_deploy_on_the_image(disk: Path, tmp_path: Path) -> None:
    base, worked = tmp_path / "base.raw", tmp_path / "worked.raw"
    copy_sparse(disk, base)
    copy_sparse(disk, worked)
    with recorded(worked, tmp_path / "log") as shown:
        operate(shown, "deploy(store, plan_deploy(store, newest(store)), Progress())")
    recording = read_log(tmp_path / "log", marked=(1 << 20, 65 << 20))
    found = _swept("deploy of a real image", base, recording, 0, worked)
    chosen = _judge(found, 5, 6)
    _boot(base, recording, chosen, found)


def test_a_deploy_by_the_running_system(disk: Path, tmp_path: Path) -> None:
    base, worked = tmp_path / "base.raw", tmp_path / "worked.raw"
    copy_sparse(disk, base)
    copy_sparse(disk, worked)
    with (
        recorded(worked, tmp_path / "log") as shown,
        booted(shown, cache=Path(environment()["RASTOS_CACHE"]), way="uefi", persist=True) as machine,
    ):
        machine.wait_agent(BOOT)
        machine.execute("systemctl is-system-running --wait", BOOT)
        machine.succeed("sync")
        first = read_log(tmp_path / "log").flushes
        made = json.loads(machine.succeed("rastos snapshot deploy latest --json 2>/dev/null", BOOT))
        machine.crash()  # what comes after it is not the deploy's
    recording = read_log(tmp_path / "log")
    found = _swept("deploy inside the guest", base, recording, first, worked)
    chosen = _judge(found, 5, int(made["number"]))
    _boot(base, recording, [chosen[0], chosen[-1]], found)
