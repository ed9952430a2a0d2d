"""What lsblk says of a machine, as disks that may or may not be installed onto."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rastos.installer.install import disks as reading


def _device(path: str, kind: str, **more: Any) -> dict[str, Any]:
    empty = {"model": None, "serial": None, "tran": None, "rm": False, "ro": False, "mountpoints": [None]}
    return {"path": path, "type": kind, "size": 8 << 30, **empty, **more}


SYSTEM = _device(
    "/dev/sda",
    "disk",
    model="FoundDisk\x1b[31m  One ",
    serial="S1",
    children=[
        _device("/dev/sda1", "part"),
        _device("/dev/sda2", "part", mountpoints=["/home", "/"]),
        _device("/dev/sda3", "part", mountpoints=["[SWAP]"]),
    ],
)
POOL = _device("/dev/sdb", "disk", children=[_device("/dev/sdb1", "part", children=[_device("/dev/md0", "raid1")])])
BTRFS = _device("/dev/sdc", "disk", children=[_device("/dev/sdc1", "part")])
FREE = _device("/dev/sdd", "disk", serial="S4")
OTHERS = [_device("/dev/sr0", "rom"), _device("/dev/zram0", "disk"), _device("/dev/loop0", "loop"), {**FREE, "size": 0}]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    called: list[Sequence[str]] = []

    def answer(argv: Sequence[Any], **_: Any) -> SimpleNamespace:
        called.append([str(word) for word in argv])
        text = json.dumps({"blockdevices": [SYSTEM, POOL, BTRFS, FREE, *OTHERS]}) if argv[0] == "lsblk" else ""
        return SimpleNamespace(stdout=text, stderr="", status=2)

    (tmp_path / "fsid/devices").mkdir(parents=True)
    (tmp_path / "fsid/devices/sdc1").touch()
    monkeypatch.setattr(reading, "run", answer)
    monkeypatch.setattr(reading, "MOUNTED_BTRFS", tmp_path)
    return called


def test_who_uses_a_disk(machine: list[Sequence[str]]) -> None:
    found = {item.name: item.used_by for item in reading.disks()}
    assert found == {
        "sda": ("/dev/sda2 is mounted (/, /home)", "/dev/sda3 is swap"),
        "sdb": ("/dev/md0 (raid1) is made of it",),
        "sdc": ("/dev/sdc1 is mounted (btrfs)",),
        "sdd": (),
    }
    assert "--tree" in machine[0], "without it lsblk tells nothing of what lies on a disk"


def test_what_a_disk_says_of_itself_is_text() -> None:
    first, *_, last = reading.disks()
    assert first.model == "FoundDisk [31m One" and (last.serial, last.empty) == ("S4", True)


def test_a_disk_that_can_not_be_read_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = reading.run

    def refused(argv: Sequence[Any], **named: Any) -> Any:
        if argv[0] != "blkid":
            return answer(argv, **named)
        return SimpleNamespace(stdout="", stderr="blkid: error: /dev/sdd: Operation not permitted", status=2)

    monkeypatch.setattr(reading, "run", refused)
    assert {(item.content, item.empty) for item in reading.disks()} == {("unreadable", False)}
