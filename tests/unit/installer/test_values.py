"""Profiles, partitions and QEMU command lines: values without a disk or a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import load_image_profile
from rastos.installer.partition import plan_layout
from rastos.installer.profile import parse_size
from rastos.installer.vm import MachineSpec, argv
from rastos.installer.vm.console import Console
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["server", "minimal", "ci"])
def test_shipped_profiles_load(name: str) -> None:
    assert load_image_profile(name, [ROOT / "profiles"]).sets


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ('hostname = "ok"\nhostnam = "x"\n', "unknown key 'hostnam'", 2),
        ('hostname = "Not_OK"\n', "no host name", 1),
        ("sets = 3\n", "expected a list", 1),
        ('size = "big"\n', "expected a size", 1),
        ('format = "floppy"\n', "unknown format", 1),
        ('root-password = "secret"\n', "not a password hash", 1),
        ('hostname = "x"\n[[users]]\nname = "Root!"\n', "no user name", 3),
        ("hostname = \n", "malformed TOML", 1),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, what: str, line: int) -> None:
    (tmp_path / "image").mkdir()
    place = tmp_path / "image/bad.toml"
    place.write_text(text)
    with pytest.raises(UserError) as caught:
        load_image_profile("bad", [tmp_path])
    assert what in caught.value.what
    assert caught.value.on == f"{place}:{line}"
    assert caught.value.next_step


def test_unknown_profile_has_a_near_name() -> None:
    with pytest.raises(UserError) as caught:
        load_image_profile("sever", [ROOT / "profiles"])
    assert "server" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 << 30), ("512M", 512 << 20), ("1.5GiB", 3 << 29), ("1048576", 1 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_layout_is_aligned_and_repeatable() -> None:
    layout = plan_layout(4 << 30, 256 << 20, seed="a")
    assert layout == plan_layout(4 << 30, 256 << 20, seed="a")
    assert layout.root.uuid != plan_layout(4 << 30, 256 << 20, seed="b").root.uuid
    assert layout.esp.start % (1 << 20) == layout.root.start % (1 << 20) == layout.root.size % (1 << 20) == 0
    assert layout.esp.start + layout.esp.size == layout.root.start
    assert layout.root.start + layout.root.size <= layout.size - (1 << 20)
    with pytest.raises(UserError) as caught:
        plan_layout(300 << 20, 256 << 20, seed="a")
    assert "--size" in caught.value.next_step


def test_qemu_by_firmware_and_directly(tmp_path: Path) -> None:
    spec = MachineSpec(
        tmp_path, "tcg,thread=multi", "max", disk=tmp_path / "a,b.qcow2", ssh_port=2222, ssh_key="ssh-x k"
    )
    words = argv(spec)
    assert words[words.index("-accel") + 1] == "tcg,thread=multi"
    assert any("file=" in word and "a,,b.qcow2" in word for word in words)
    assert any("hostfwd=tcp:127.0.0.1:2222-:22" in word for word in words)
    assert any("bootindex=0" in word for word in words)
    assert "-kernel" not in words
    direct = argv(MachineSpec(tmp_path, "kvm", "host", disk=tmp_path / "d", kernel=tmp_path / "k", cmdline="a b"))
    assert direct[direct.index("-append") + 1] == "a b"
    assert not any("bootindex" in word or "pflash" in word or "netdev" in word for word in direct)


def test_console_finds_the_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    console = Console(log)
    assert console.crash() == "" and console.tail() == ""
    log.write_bytes(b"\x1b[0;32mhello\x1b[0m\r\n[ 1.0] Kernel panic - not syncing: no init\r\nend\r\n")
    assert console.text().startswith("hello\n")
    assert console.crash().splitlines() == ["[ 1.0] Kernel panic - not syncing: no init", "end"]
