"""The [disk] table: what is read, and how what is wrong is said."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import UserError
from rastos.installer import DataDisk, Disk, disk_fault, parse_size
from rastos.installer.disk_making import data_disk_path, write_data_mounts
from rastos.installer.disk_profile import read_disk


def read(text: str) -> Disk:
    def fail(key: str, what: str, step: str) -> UserError:
        return UserError(what, on=key, next_step=step)

    table: dict[str, Any] = tomllib.loads(text)
    return read_disk(table["disk"], fail, lambda value, what: parse_size(value, what=what))


def test_a_whole_table_is_read() -> None:
    text = '[disk]\nluks = true\nbios = true\nswap = "1G"\n[[disk.data]]\nlabel = "pool"\nmount = "/srv/pool"\nsize = "10G"\n'
    pool = DataDisk("pool", "/srv/pool", 10 << 30, "btrfs")
    assert read(text) == Disk(luks=True, bios=True, swap=1 << 30, data=(pool,))
    assert read("[disk]\n") == Disk()


DATA = '[[disk.data]]\nlabel = "{label}"\nmount = "{mount}"\nsize = "{size}"\nfilesystem = "{kind}"\n'
GOOD = {"label": "pool", "mount": "/srv/pool", "size": "1G", "kind": "ext4"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("disk = 3", "disk is a table"),
        ('[disk]\nluks = "yes"', "expected true or false"),
        ("[disk]\nlukss = true", "unknown key 'disk.lukss'"),
        ("[disk]\nluks = true\nraid1 = true", "encrypted mirror"),
        ('[disk]\nswap = "1G"\nraid1 = true', "swap file can't lie on a mirror"),
        ('[disk]\nswap = "1K"', "of no use"),
        ('[disk]\nswap = "much"', "expected a size"),
        (DATA.format(**{**GOOD, "label": "My Pool"}), "no label for a data disk"),
        (DATA.format(**{**GOOD, "mount": "/usr/local"}), "can't be mounted on"),
        (DATA.format(**{**GOOD, "mount": "/srv/../etc"}), "can't be mounted on"),
        (DATA.format(**{**GOOD, "mount": "/srv"}), "can't be mounted on"),
        (DATA.format(**{**GOOD, "kind": "xfs"}), "unknown file system"),
        (DATA.format(**{**GOOD, "size": "1M"}), "too small"),
        (DATA.format(**GOOD) * 2, "two data disks with the label"),
        ('[[disk.data]]\nlabel = "pool"\nmount = "/srv/pool"\n', "has no size"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(text)
    assert caught.value.next_step


def test_options_are_held_to_the_same() -> None:
    assert disk_fault(Disk(luks=True, swap=1 << 30)) is None
    assert disk_fault(Disk(luks=True, raid1=True))


def test_a_data_disk_has_a_unit_of_the_name_that_systemd_wants(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    write_data_mounts(tmp_path, read(DATA.format(**{**GOOD, "mount": "/srv/data-pool"})))
    unit = tmp_path / "usr/lib/systemd/system/srv-data\\x2dpool.mount"  # systemd-escape --path
    assert "Where=/srv/data-pool\nType=ext4\n" in unit.read_text()
    assert (unit.parent / "multi-user.target.wants" / unit.name).resolve() == unit
    assert data_disk_path(Path("/out/vm.qcow2"), DataDisk("pool", "", 0)) == Path("/out/vm-pool.qcow2")
