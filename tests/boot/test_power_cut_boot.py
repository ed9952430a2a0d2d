"""Real boots of a real image after power cuts around the commit of a deploy: the old system comes up, or the new one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rastos.installer.partition import ESP_TYPE, read_layout
from tests.boot.conftest import Rastos
from tests.conftest import need
from tests.faults.fat import FatReader
from tests.faults.recording import Recording, read_log, recorded
from tests.faults.replay import Point, Replay, copy_sparse

NEW = "/loader/entries/rastos-2+3.conf"


def _committed(disk: Path) -> bool:
    esp = next(part for part in read_layout(disk) if part.type == ESP_TYPE)
    return FatReader(disk, esp.start, esp.size).exists(NEW)


@pytest.fixture
def cut(rastos: Rastos, ci_image: Path, tmp_path: Path) -> tuple[Path, Recording]:
    """A raw image before a deploy, and the deploy's writes."""
    need("qemu-storage-daemon", "qemu-img")
    disk, base = tmp_path / "disk.raw", tmp_path / "base.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", ci_image, disk], check=True)
    rastos("snapshot", "create", "latest", "-d", "new one", "--image", disk)
    copy_sparse(disk, base)
    with recorded(disk, tmp_path / "log") as shown:
        rastos("snapshot", "deploy", "latest", "--image", shown)
    recording = read_log(tmp_path / "log")
    for path in (disk, tmp_path / "log"):
        path.unlink()
    return base, recording


def test_boots_old_or_new(rastos: Rastos, cut: tuple[Path, Recording], tmp_path: Path) -> None:
    base, recording = cut
    replay = Replay(base, recording, tmp_path)
    last = next(
        number for number in range(len(recording.epochs) + 1) if _committed(replay.at(Point("flush", number, ())))
    )
    replay = Replay(base, recording, tmp_path)
    seen = []
    # the flush before the commit; its writes in part; the commit and no more
    for point in (
        Point("flush", last - 1, ()),
        Point("reordered", last - 1, recording.epochs[last - 1][1:]),
        Point("flush", last, ()),
    ):
        disk = replay.at(point)
        words = rastos(
            "image",
            "boot",
            "--image",
            disk,
            "--",
            "cat /etc/rastos/deployment.json; systemctl is-system-running --wait",
        )
        assert "running" in words or "degraded" in words
        seen.append(2 if '"deployment": 2' in words else 1 if '"deployment": 1' in words else 0)
    assert seen[0] == 1 and seen[2] == 2 and seen[1] in (1, 2)
