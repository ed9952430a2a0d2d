"""A tree without the moment at which it was made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rastos.installer.reproducible import EARLIEST, epoch_of, without_moment

BUILT = 1_700_000_000
DATABASE = "usr/lib/sysimage/pacman/local/thing-1-1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for path, text in {
        f"{DATABASE}/desc": f"%NAME%\nthing\n\n%VERSION%\n1-1\n\n%BUILDDATE%\n{BUILT}\n\n%INSTALLDATE%\n1795264930\n\n%SIZE%\n3\n",
        "usr/share/old": "old",
        "usr/share/new": "new",
        "etc/shadow": "root:!*:19000:0:99999:7:::\nme:$6$x$y:20778:0:99999:7:::\nnone:*::::::\n",
        "var/log/apt/made.log": "at twelve",
        "var/cache/ldconfig/aux-cache": "inodes",
    }.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (root / "usr/share/link").symlink_to("new")
    os.utime(root / "usr/share/old", (1, 1))
    return root


def test_the_epoch_is_the_newest_packages(tree: Path, tmp_path: Path) -> None:
    assert epoch_of(tree) == BUILT
    assert epoch_of(tmp_path / "empty") == EARLIEST


def test_what_says_when_is_gone(tree: Path) -> None:
    assert without_moment(tree) == BUILT
    desc = (tree / DATABASE / "desc").read_text()
    assert f"%INSTALLDATE%\n{BUILT}\n" in desc and f"%BUILDDATE%\n{BUILT}\n" in desc and "%SIZE%\n3\n" in desc
    assert (tree / "var/log/apt/made.log").read_text() == ""
    assert not (tree / "var/cache/ldconfig/aux-cache").exists()
    days = [row.split(":")[2] for row in (tree / "etc/shadow").read_text().splitlines()]
    assert days == ["19000", str(BUILT // 86400), ""]
    times = {path: os.lstat(path).st_mtime for path in (tree, *tree.rglob("*"))}
    assert times.pop(tree / "usr/share/old") == 1, "older times stay"
    assert set(times.values()) == {BUILT}


def test_a_second_time_changes_nothing(tree: Path) -> None:
    without_moment(tree)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    without_moment(tree)
    assert before == {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_links_out_of_the_tree_are_left_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:*:99999:::::\n")
    (tree / "etc/shadow").unlink()
    (tree / "etc/shadow").symlink_to(tmp_path / "shadow")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/mine.log").write_text("kept")
    shutil.rmtree(tree / "var/log")
    (tree / "var/log").symlink_to(tmp_path / "logs")
    without_moment(tree)
    assert (tmp_path / "logs/mine.log").read_text() == "kept"
    assert (tmp_path / "shadow").read_text() == "root:*:99999:::::\n"
