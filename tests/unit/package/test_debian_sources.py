"""sources: apt's own configuration, Debian's archives of the running release only."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import HostError
from rastos.package.channels.debian.sources import DEFAULT_KEYRING, from_host

DEB822 = """# the archive
Types: deb deb-src
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates bookworm-backports trixie
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://third.example.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/third.gpg
"""


def apt(root: Path, **files: str) -> Path:
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text('NAME="Debian"\nVERSION_CODENAME=bookworm\n')
    for name, text in files.items():
        (root / "etc/apt/sources.list.d" / name.replace("_", ".")).write_text(text)
    return root


def test_deb822(tmp_path: Path) -> None:
    found = from_host(apt(tmp_path, debian_sources=DEB822))
    assert [(s.uri, s.suite) for s in found] == [
        ("http://mirror.example.org/debian", "bookworm"),
        ("http://mirror.example.org/debian", "bookworm-updates"),
    ]
    assert {s.components for s in found} == {("main",)} and {s.keyring for s in found} == {DEFAULT_KEYRING}


def test_one_line(tmp_path: Path) -> None:
    text = (
        "# deb http://no.example.org/debian bookworm main\ndeb [arch=amd64] http://m.example.org/debian bookworm main\n"
    )
    text += "deb-src http://m.example.org/debian bookworm main\ndeb https://shop.example.org/apt bookworm main\n"
    (source,) = from_host(apt(tmp_path, a_list=text))
    assert source.dists == "http://m.example.org/debian/dists/bookworm"


def test_nothing(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="names no Debian archive"):
        from_host(tmp_path)
