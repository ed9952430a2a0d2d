"""Answers files: every complaint at its line, and which disk they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import FoundDisk, read_answers
from rastos.installer.disk_profile import Disk as DiskLayout
from rastos.installer.install import answers as reading
from rastos.installer.install.disks import DiskPart
from rastos.installer.install.plan import InstallPlan, Medium, plan_copy_to
from rastos.installer.partition import plan_layout
from rastos.installer.profile import ImageProfile

GIB = 1 << 30


def _file(folder: Path, text: str) -> Path:
    path = folder / "answers.toml"
    path.write_text(text)
    return path


def test_a_profile_with_a_disk(tmp_path: Path) -> None:
    text = 'hostname = "node1"\n[[users]]\nname = "kim"\n[install]\nserial = "S1"\nerase = "S1"\nafter = "poweroff"\n'
    found = read_answers(_file(tmp_path, text), [])
    assert (found.profile.hostname, found.profile.users[0].name) == ("node1", "kim")
    assert (found.serial, found.erase, found.after, found.disk) == ("S1", "S1", "poweroff", "")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('hostname = "a"\n\n[install]\nchose = "only"\n', 4, "unknown key 'install.chose'"),
        ('hostnme = "a"\n[install]\nchoose = "only"\n', 1, "unknown key 'hostnme'"),
        ('[install]\nchoose = "biggest"\n', 2, "choose is 'biggest'"),
        ('[install]\ndisk = "/dev/x"\nserial = "1"\n', 3, "names the disk in 2 ways"),
        ('hostname = "a"\n[install]\nafter = "reboot"\n', 2, "names no disk"),
        ("[install]\ndisk = 7\n", 2, "disk is 7, expected text"),
        ('[install]\nchoose = "only"\nafter = "sleep"\n', 3, "after is 'sleep'"),
        ('install = "all"\n', 1, "install is not a table"),
    ],
)
def test_complaints_name_their_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(UserError) as caught:
        read_answers(_file(tmp_path, text), [])
    assert what in caught.value.what and caught.value.on.endswith(f"answers.toml:{line}")


def _disks(*found: FoundDisk) -> tuple[FoundDisk, ...]:
    return found


SMALL = FoundDisk(Path("/dev/a"), "disk", 8 * GIB, serial="A")
LARGE = FoundDisk(Path("/dev/b"), "disk", 64 * GIB, serial="B")
USED = FoundDisk(Path("/dev/c"), "disk", 128 * GIB, serial="C", used_by=("/dev/c1 is mounted (/)",))


@pytest.mark.parametrize(
    ("words", "least", "name"),
    [
        ('choose = "largest"', GIB, "b"),
        ('choose = "smallest"', GIB, "a"),
        ('choose = "smallest"', 16 * GIB, "b"),
        ('choose = "only"', 16 * GIB, "b"),
        ('serial = "A"', GIB, "a"),
        ('serial = "C"', GIB, "c"),  # the plan says that it is in use
    ],
)
def test_which_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, least: int, name: str) -> None:
    monkeypatch.setattr(reading, "disks", lambda: _disks(SMALL, LARGE, USED))
    assert read_answers(_file(tmp_path, f"[install]\n{words}\n"), []).chosen(least).name == name


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ('choose = "only"', "2 times there is a free disk of 1024 MiB or more"),
        ('serial = "Z"', "no disk with the serial 'Z'"),
        ('choose = "largest"', "no free disk of 1048576 MiB"),
    ],
)
def test_no_disk_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, what: str) -> None:
    monkeypatch.setattr(reading, "disks", lambda: _disks(SMALL, LARGE, USED))
    least = 1 << 40 if "largest" in words else GIB
    with pytest.raises(UserError) as caught:
        read_answers(_file(tmp_path, f"[install]\n{words}\n"), []).chosen(least)
    assert what in caught.value.what and "/dev/c (131072 MiB, serial C, in use)" in caught.value.next_step


def test_the_word_that_erases() -> None:
    part = DiskPart(1, 1 << 20, GIB, "", "ext4", "data")
    layout = plan_layout(8 * GIB, 64 << 20, seed="x")
    full = FoundDisk(Path("/dev/sdb"), "disk", 8 * GIB, serial="S1", table="gpt", parts=(part,))
    plan = InstallPlan(full, ImageProfile("x"), layout, GIB)
    assert plan.erases and all(plan.confirmed(word) for word in ("sdb", "/dev/sdb", "S1"))
    assert not any(plan.confirmed(word) for word in ("", "sda", "yes", "SDB"))
    nameless = InstallPlan(FoundDisk(Path("/dev/sdb"), "disk", 8 * GIB, content="ext4"), ImageProfile("x"), layout, GIB)
    assert not nameless.confirmed(""), "a disk without a serial is not meant by no word"


def test_no_plain_disk_where_an_encrypted_one_was_asked_for() -> None:
    disk = FoundDisk(Path("/dev/sdb"), "disk", 64 * GIB)
    medium = Medium(0, "u", "system", "6.1", 1, GIB, {})
    assert plan_copy_to(disk, ImageProfile("x"), medium).needed > GIB
    with pytest.raises(UserError, match="asks for: luks, swap"):
        plan_copy_to(disk, ImageProfile("x", disk=DiskLayout(luks=True, swap=GIB)), medium)
