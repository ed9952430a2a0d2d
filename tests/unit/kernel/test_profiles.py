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


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_inherits_fragments_lists_and_single_values(tmp_path: Path) -> None:
    folder(tmp_path, 'fragments = ["10-one"]\nbase = "x86_64_defconfig"\ninitramfs = ["btrfs"]\n', "grand")
    folder(tmp_path, 'inherits = "grand"\ninitramfs = ["nvme", "btrfs"]\ncommand-line = "quiet"\n', "parent")
    write(tmp_path / "kernel/fragments/20-two.config", "CONFIG_A=m\n")
    profile = load_profile(
        "mine", [folder(tmp_path, 'inherits = "parent"\nfragments = ["20-two"]\ncommand-line = "ro"\n')]
    )
    assert profile.ancestors == ("parent", "grand")
    assert [path.name for path in profile.fragments] == ["10-one.config", "20-two.config"]
    assert [profile.brings(path.name) for path in profile.fragments] == ["grand", "mine"]
    assert profile.brings("other.config") == ""
    assert (profile.base, profile.initramfs, profile.command_line) == (
        "x86_64_defconfig",
        ("btrfs", "nvme"),
        "quiet ro",
    )


@pytest.mark.parametrize(
    ("files", "place", "words", "hint"),
    [
        ({"mine": 'inherits = "mine"\n'}, "mine.toml:1:1", "circle: mine → mine", ""),
        ({"mine": 'inherits = "b"\n', "b": '# b\ninherits = "mine"\n'}, "b.toml:2:1", "circle: mine → b → mine", ""),
        (
            {"mine": 'inherits = "continer"\n', "container": ""},
            "mine.toml:1:1",
            "no kernel profile 'continer'",
            "contai",
        ),
        ({"mine": "inherits = 7\n"}, "mine.toml:1:1", "expected a text", ""),
        ({"mine": 'inherits = "b"\n', "b": 'fragments = ["no"]\n'}, "b.toml:1:14", "no fragment 'no'", "there are"),
    ],
)
def test_wrong_inheritance(tmp_path: Path, files: dict[str, str], place: str, words: str, hint: str) -> None:
    for name, text in files.items():
        folder(tmp_path, text, name)
    with pytest.raises(UserError) as caught:
        load_profile("mine", [tmp_path])
    assert words in caught.value.what
    assert place in caught.value.what
    assert hint in caught.value.next_step


def test_a_project_uses_shipped_profiles_and_fragments_and_overrides_by_name(tmp_path: Path) -> None:
    shipped = folder(tmp_path / "shipped", 'fragments = ["10-one"]\n', "base")
    extra = write(shipped / "kernel/fragments/20-two.config", "CONFIG_B=y\n")
    own = write(tmp_path / "own/kernel/fragments/10-one.config", "CONFIG_C=y\n")
    write(tmp_path / "own/kernel/mine.toml", 'inherits = "base"\nfragments = ["10-one", "20-two"]\n')
    profile = load_profile("mine", [tmp_path / "own", shipped])
    assert profile.fragments == (shipped / "kernel/fragments/10-one.config", own, extra)
    assert [item.symbol for item in merge(profile.fragments).requests] == ["A", "C", "B"]
