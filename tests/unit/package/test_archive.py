"""archive: same bytes for the same input, readable by pacman, nothing odd accepted."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from rastos.errors import IntegrityError, UserError
from rastos.package.archive import PackageMetadata, package_writer, write_package

META = PackageMetadata(
    "demo", "1:2.0-1", description="a demo", depends=("a>=1", "b"), backup=("etc/demo.conf",), builddate=7
)


def make_tree(where: Path) -> Path:
    (where / "usr/bin").mkdir(parents=True)
    (where / "etc").mkdir()
    (where / "etc/demo.conf").write_text("x=1\n")
    (where / "usr/bin/demo").write_bytes(os.urandom(10) * 0 + b"#!/bin/sh\n" * 1000)
    (where / "usr/bin/demo").chmod(0o755)
    os.link(where / "usr/bin/demo", where / "usr/bin/demo2")
    (where / "usr/bin/link").symlink_to("demo")
    (where / "usr/bin/with space \u00e4").write_text("odd")
    return where


def members(package: Path) -> dict[str, tarfile.TarInfo]:
    with package.open("rb") as stream:
        reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        with tarfile.open(fileobj=io.BytesIO(reader.read())) as archive:
            return {member.name: member for member in archive}


def test_same_input_same_bytes(tmp_path: Path) -> None:
    first = write_package(META, make_tree(tmp_path / "one"), tmp_path / "a", epoch=99)
    second = write_package(META, make_tree(tmp_path / "two"), tmp_path / "b", epoch=99)
    assert first.name == "demo-1:2.0-1-x86_64.pkg.tar.zst"
    assert first.read_bytes() == second.read_bytes()


def test_another_mode_other_bytes(tmp_path: Path) -> None:
    first = write_package(META, make_tree(tmp_path / "one"), tmp_path / "a")
    changed = make_tree(tmp_path / "two")
    (changed / "usr/bin/demo").chmod(0o700)
    assert first.read_bytes() != write_package(META, changed, tmp_path / "b").read_bytes()


def test_order_and_kinds(tmp_path: Path) -> None:
    found = members(write_package(META, make_tree(tmp_path / "t"), tmp_path / "o", install="post_install() { :; }\n"))
    assert list(found)[:3] == [".MTREE", ".PKGINFO", ".INSTALL"]
    assert found["usr/bin/demo2"].islnk() and found["usr/bin/demo2"].linkname == "usr/bin/demo"
    assert found["usr/bin/link"].linkname == "demo"
    assert found["usr/bin/demo"].mode == 0o755
    assert not [path for path in (tmp_path / "o").iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not shutil.which("pacman"), reason="install pacman-package-manager to read packages with pacman")
def test_pacman_reads_it(tmp_path: Path) -> None:
    package = write_package(META, make_tree(tmp_path / "t"), tmp_path / "o")
    listed = subprocess.run(["pacman", "-Qlp", package], capture_output=True, text=True, check=True).stdout
    assert "demo /usr/bin/link\n" in listed and "demo /usr/bin/with space \u00e4\n" in listed
    assert "demo /etc/\n" in listed
    info = subprocess.run(["pacman", "-Qip", package], capture_output=True, text=True, check=True).stdout
    assert "1:2.0-1" in info and "a>=1  b" in info


def test_refuses_pipes(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    os.mkfifo(tree / "pipe")
    with pytest.raises(UserError):
        write_package(META, tree, tmp_path / "o")
    assert list((tmp_path / "o").iterdir()) == []


def test_stream_ends_early_or_repeats(tmp_path: Path) -> None:
    with package_writer(tmp_path) as writer, pytest.raises(IntegrityError):
        writer.file("usr/x", io.BytesIO(b"short"), 10)
    with package_writer(tmp_path) as writer, pytest.raises(IntegrityError):
        writer.symlink("usr/x", "y")
        writer.symlink("usr/x", "z")
    with package_writer(tmp_path) as writer, pytest.raises(IntegrityError):
        writer.hardlink("usr/x", "etc/shadow")
