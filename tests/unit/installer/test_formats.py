"""The table of formats, and what names and profiles say of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import FORMATS, check_compression, find_format, load_image_profile
from rastos.installer.formats.table import ALIASES, format_of_name
from rastos.installer.formats.writing import SHARE
from tests.conftest import ROOT


def test_each_format_is_found_by_what_its_files_are_called() -> None:
    for name, kind in FORMATS.items():
        assert find_format(name) is kind
        for suffix in kind.suffixes:
            assert format_of_name(Path(f"/a.b/My.Server{suffix.upper()}")) is kind
    assert format_of_name(Path("server")) is None and format_of_name(Path("server.iso")) is None
    assert {find_format(alias).name for alias in ALIASES} <= set(FORMATS)


@pytest.mark.parametrize(
    ("name", "near"), [("qcow", "qcow2"), ("vmkd", "vmdk"), ("VHDX2", "vhdx"), ("streamoptimised", "streamoptimized")]
)
def test_an_unknown_format_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError) as caught:
        find_format(name)
    assert f"did you mean '{near}'?" in caught.value.next_step and "vhd-dynamic" in caught.value.next_step


def test_compression_is_for_what_can_be_compressed() -> None:
    for kind in FORMATS.values():
        check_compression(kind, "")
        if kind.compressible:
            check_compression(kind, "zstd")
        else:
            with pytest.raises(UserError, match="can't be chosen"):
                check_compression(kind, "zstd")


@pytest.mark.parametrize(
    ("lines", "kind", "compression"),
    [
        ('format = "qcow2"\ncompress = true', "qcow2", "zlib"),
        ('compress = "zstd"', "qcow2", "zstd"),
        ("compress = false", "qcow2", ""),
        ('format = "azure"', "vhd", ""),
    ],
)
def test_a_profile_chooses(tmp_path: Path, lines: str, kind: str, compression: str) -> None:
    (tmp_path / "one.toml").write_text(lines)
    profile = load_image_profile(str(tmp_path / "one.toml"), [])
    assert (profile.format, profile.compress) == (kind, compression)


@pytest.mark.parametrize(
    ("line", "what", "step"),
    [
        ('format = "vmkd"', "unknown format 'vmkd'", "did you mean 'vmdk'?"),
        ('compress = "gzip"', "unknown compress 'gzip'", "zlib"),
        ('format = "vdi"\ncompress = true', "can't be chosen for format vdi", "qcow2"),
    ],
)
def test_a_profile_with_a_wrong_word_names_its_line(tmp_path: Path, line: str, what: str, step: str) -> None:
    (tmp_path / "one.toml").write_text(f'hostname = "x"\n{line}\n')
    with pytest.raises(UserError) as caught:
        load_image_profile(str(tmp_path / "one.toml"), [])
    assert what in caught.value.what and step in caught.value.next_step
    assert re.search(r"one\.toml:[23]$", caught.value.on)


def test_what_qemu_img_says_of_its_progress() -> None:
    assert SHARE.findall(b"    (0.00/100%)\r    (1.50/100%)\r    (100.00/100%)\r\n") == [b"0.00", b"1.50", b"100.00"]


def test_the_documentation_has_every_format() -> None:
    text = (ROOT / "docs/image-formats.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == list(FORMATS)
    for name, suffixes in rows:
        assert tuple(re.findall(r"`([\w.]+)`", suffixes)) == FORMATS[name].suffixes
