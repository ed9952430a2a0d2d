"""Profiles: what a file may say, and errors that name file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import load_profile, merge, profiles

SHIPPED = Path(__file__).parents[3] / "profiles"


def folder(tmp_path: Path, text: str, name: str = "mine") -> Path:
    (tmp_path / "kernel/fragments").mkdir(parents=True, exist_ok=True)
    (tmp_path / "kernel/fragments/10-one.config").write_text("CONFIG_A=y\n")
    (tmp_path / f"kernel/{name}.toml").write_text(text)
    return tmp_path


def test_reads_a_profile(tmp_path: Path) -> None:
    where = folder(
        tmp_path,
        'name = "mine"\nfragments = ["10-one"]\n[[may-drop]]\nsymbol = "CONFIG_B"\nreason = "new"\n'
        '[[expected]]\nversion = "6.1"\nobjects = 12\n',
    )
    profile = load_profile("mine", [where])
    assert profile.package == "linux-rastos-mine"
    assert profile.base == "allnoconfig"
    assert [path.name for path in profile.fragments] == ["10-one.config"]
    assert profile.may_drop[0].symbol == "B"
    assert profile.expected_objects("6.1.9") == 12
    assert profile.expected_objects("6.12.1") is None, "6.12 is not of the series 6.1"


def test_first_folder_wins(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 'fragments = ["10-one"]\nsummary = "first"\n')
    two = folder(tmp_path / "two", 'fragments = ["10-one"]\nsummary = "second"\n')
    assert [item.summary for item in profiles([one, two])] == ["first"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('name = "mine"\nfragments = [\n', ":", "malformed TOML"),
        ('name = "mine"\nsummary = = 1\n', ":2:11", "malformed TOML"),
        ('fragments = ["10-one"]\nframgents = 1\n', ":2:1", "unknown key 'framgents'"),
        ('fragments = ["10-one", "11-two"]\n', ":1:24", "no fragment '11-two'"),
        ("# fragments\nfragments = []\n", ":2:1", "at least one"),
        ('fragments = ["10-one"]\nbase = "allyes"\n', ":2:1", "expected 'allnoconfig'"),
        ('fragments = ["10-one"]\nname = "other"\n', ":2:1", "expected 'mine'"),
        ('fragments = ["10-one"]\nsummary = 7\n', ":2:1", "expected a text"),
        ('fragments = ["10-one"]\n[[may-drop]]\nsymbol = "B"\n', ":1:1", "'reason' is None"),
        ('fragments = ["10-one"]\n[[expected]]\nversion = "6.1"\nobjects = "many"\n', ":4:1", "whole number"),
    ],
)
def test_malformed(tmp_path: Path, text: str, place: str, words: str) -> None:
    where = folder(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_profile("mine", [where])
    assert words in caught.value.what
    assert f"mine.toml{place}" in caught.value.what
    assert caught.value.next_step


def test_unknown_profile_names_near_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_profile("mien", [folder(tmp_path, 'fragments = ["10-one"]\n')])
    assert "did you mean 'mine'?" in caught.value.next_step


@pytest.mark.parametrize("name", ["container", "ci"])
def test_shipped_profiles_ask_for_what_images_need(name: str) -> None:
    profile = load_profile(name, [SHIPPED])
    wanted = {item.symbol: item.value for item in merge(profile.fragments).requests}
    boot = "EFI_STUB BTRFS_FS VIRTIO_BLK VIRTIO_PCI SERIAL_8250_CONSOLE DEVTMPFS_MOUNT VFAT_FS EFIVAR_FS"
    guest = "VIRTIO_CONSOLE FW_CFG_SYSFS DMIID ACPI_BUTTON INPUT_EVDEV PVPANIC_PCI I6300ESB_WDT WATCHDOG"
    systemd = "CGROUPS CGROUP_BPF BPF_SYSCALL SECCOMP_FILTER INOTIFY_USER AUTOFS_FS UNIX_DIAG POSIX_MQUEUE"
    needed = f"{boot} {guest} {systemd}".split()
    assert {symbol: wanted.get(symbol) for symbol in needed} == dict.fromkeys(needed, "y")
