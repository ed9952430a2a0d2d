"""Paths of an image: every link is followed inside it, and none leads to this machine's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer.looking.view import View


@pytest.fixture
def view(tmp_path: Path) -> View:
    root, etc = tmp_path / "tree", tmp_path / "deployment/etc"
    (root / "usr/lib").mkdir(parents=True)
    (root / "etc").mkdir()
    etc.mkdir(parents=True)
    (tmp_path / "secret").write_text("the host's")
    (root / "secret").write_text("the image's")
    (etc / "hostname").write_text("box\n")
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/file").write_text("file")
    for name, target in {
        "absolute": "/secret",
        "above": "../../../../../../../../secret",
        "host": str(tmp_path),
        "loop": "loop",
        "one": "two",
        "two": "/one",
        "top": "/",
        "name": "etc/hostname",
    }.items():
        (root / name).symlink_to(target)
    (root / "usr/absolute").symlink_to("/secret")
    (root / "usr/again").symlink_to("/usr/lib")
    (etc / "out").symlink_to("../../../secret")
    (etc / "up").symlink_to("../usr")
    return View(root, {"etc": etc})


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/", ()),
        ("", ()),
        ("..", ()),
        ("/../../secret", ("secret",)),
        ("/absolute", ("secret",)),
        ("/usr/absolute", ("secret",)),
        ("/usr/again/file", ("usr", "lib", "file")),
        ("/above", ("secret",)),
        ("/top/top/top/secret", ("secret",)),
        ("lib/file", ("usr", "lib", "file")),
        ("/lib/../lib/./file", ("usr", "lib", "file")),
        ("/name", ("etc", "hostname")),
        ("/etc/up/lib/file", ("usr", "lib", "file")),
        ("/etc/out", ("secret",)),
        ("/usr/none/there", ("usr", "none", "there")),
    ],
)
def test_links_end_inside(view: View, path: str, parts: tuple[str, ...]) -> None:
    assert view.resolve(path) == parts


def test_what_is_read_is_the_images(view: View) -> None:
    for path in ("/absolute", "/above", "/etc/out", "../../secret"):
        assert view.found(path)[1].read_text() == "the image's"
    assert view.found("/name")[1].read_text() == "box\n", "/etc is the deployment's"


def test_a_link_to_a_folder_of_this_machine_leads_nowhere(view: View, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the image has no /host/secret"):
        view.found("/host/secret")
    assert view.resolve("/host") == tuple(str(tmp_path).strip("/").split("/")), "a path that the image doesn't have"


@pytest.mark.parametrize("path", ["/loop", "/one", "/loop/x"])
def test_loops_end(view: View, path: str) -> None:
    with pytest.raises(UserError, match="too many links"):
        view.resolve(path)


def test_the_link_itself(view: View) -> None:
    parts, place, _ = view.found("/absolute", follow=False)
    assert parts == ("absolute",) and os.readlink(place) == "/secret"


@pytest.mark.parametrize(("path", "what"), [("/secret/x/y", "is no folder"), ("/a\0b", "zero byte")])
def test_paths_that_are_none(view: View, path: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        view.resolve(path)
