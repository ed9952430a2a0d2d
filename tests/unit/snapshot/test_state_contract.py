"""The state contract as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.snapshot.state_contract import PACKAGED, first_line, newer, read_contract, read_stamps


def _write(tree: Path, text: str, name: str = "app.toml", folder: str = PACKAGED) -> None:
    (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / folder / name).write_text(text)


def test_paths_and_stamps_are_read(tmp_path: Path) -> None:
    tree, etc = tmp_path / "tree", tmp_path / "etc"
    _write(tree, '[paths]\n"var/lib/app" = "per-snapshot"\n"opt" = "shared"\n[stamps.app]\nversion = 3\n')
    _write(tree, '[stamps.db]\nfile = "usr/lib/db/VERSION"\nstate = "var/lib/db/V"\nnewer = "refuse"\n', "db.toml")
    assert [item.name for item in read_contract(tree).stamps] == ["app"]  # db's program isn't there
    (tree / "usr/lib/db").mkdir()
    (tree / "usr/lib/db/VERSION").write_text("15.2\nmore\n")
    assert read_stamps(tree) == (("app", "3"), ("db", "15.2"))
    _write(etc, '[paths]\n"var/lib/app" = "reset"\n', folder="rastos/state.d")
    found = read_contract(tree, etc)
    assert [(item.path, item.way) for item in found.paths] == [("var/lib/app", "reset")]
    assert [item.name for item in found.stamps] == ["db"]  # the machine's file replaces the package's of its name


@pytest.mark.parametrize(
    "text",
    [
        '[paths]\n"/var/lib/x" = "reset"\n',
        '[paths]\n"var/../etc" = "reset"\n',
        '[paths]\n"etc" = "reset"\n',
        '[paths]\n"usr" = "reset"\n',
        '[paths]\n"var" = "reset"\n',
        '[paths]\n"var/a,b" = "reset"\n',
        '[paths]\n"var/a\\tb" = "reset"\n',
        '[paths]\n"var/x" = "mine"\n',
        '[paths]\n"var/x" = "reset"\n"var/x/y" = "reset"\n',
        "[stamps.x]\n",
        '[stamps.x]\nversion = "1"\nfile = "y"\n',
        '[stamps.x]\nversion = "1"\nnewer = "ignore"\n',
        "[other]\n",
        "paths = 3\n",
        "[",
    ],
)
def test_what_is_not_right_is_named(tmp_path: Path, text: str) -> None:
    _write(tmp_path, text)
    with pytest.raises(IntegrityError, match="state contract"):
        read_contract(tmp_path)


def test_no_version_is_read_from_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("../secret")
    (root / "out").symlink_to("..")
    assert [first_line(root, name) for name in ("link", "out/secret", "../secret", "none")] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("one", "other"), [("16", "15"), ("10", "9"), ("1.10", "1.9"), ("2.0", "2.0~rc1"), ("1.2.1", "1.2"), ("3b", "3a")]
)
def test_versions_are_ordered(one: str, other: str) -> None:
    assert newer(one, other) and not newer(other, one) and not newer(one, one)
