"""Inheritance of image profiles, and what the shipped ones come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import image_profiles, load_image_profile
from rastos.package import load_manifest
from tests.conftest import ROOT

PARENT = """\
sets = ["base"]
packages = ["curl", "vim"]
hostname = "parent"
size = "2G"
enable = ["one"]
[sysctl]
vm.swappiness = 10
kernel.panic = 5
[[users]]
name = "me"
shell = "/bin/sh"
groups = ["audio"]
[[files]]
path = "/etc/motd"
source = "motd"
mode = "0600"
"""
CHILD = """\
inherits = "parent"
packages = ["-vim", "htop"]
hostname = "child"
enable = ["two"]
[sysctl]
"vm.swappiness" = 60
[[users]]
name = "me"
groups = ["video", "-audio"]
[[users]]
name = "you"
[[files]]
path = "/etc/motd"
content = "mine"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/parent.toml").write_text(PARENT)
    (tmp_path / "image/motd").write_text("theirs")
    (tmp_path / "image/child.toml").write_text(CHILD)
    return tmp_path


def test_lists_add_up_names_go_tables_merge(folder: Path) -> None:
    made = load_image_profile("child", [folder])
    assert made.ancestors == ("parent",)
    assert (made.sets, made.packages, made.hostname, made.size) == (("base",), ("curl", "htop"), "child", 2 << 30)
    assert made.enable == ("one.service", "two.service")
    assert dict(made.sysctl) == {"vm.swappiness": "60", "kernel.panic": "5"}
    assert [(user.name, user.shell, user.groups) for user in made.users] == [
        ("me", "/bin/sh", ("video",)),
        ("you", "/bin/bash", ()),
    ]
    assert [(file.content, file.mode) for file in made.files] == [(b"mine", 0o600)]
    parent = load_image_profile("parent", [folder])
    assert parent.files[0].content == b"theirs", "relative to the file that says so"


def test_where_a_value_was_written(folder: Path) -> None:
    made = load_image_profile("child", [folder])
    image = folder / "image"
    assert made.origin("size") == f"{image / 'parent.toml'}:4"
    assert made.origin("hostname") == f"{image / 'child.toml'}:3"
    assert made.origin("users", "me", "shell") == f"{image / 'parent.toml'}:11"
    assert made.origin("packages", "htop") == f"{image / 'child.toml'}:2"
    assert made.origin("timezone") == str(image / "child.toml")


def test_what_was_not_inherited_cannot_go(folder: Path) -> None:
    (folder / "image/child.toml").write_text('inherits = "parent"\npackages = ["-vin"]\n')
    with pytest.raises(UserError) as caught:
        load_image_profile("child", [folder])
    assert "takes out 'vin', which is not inherited" in caught.value.what and "'vim'" in caught.value.next_step
    assert caught.value.on.endswith("child.toml:2")


def test_circles_are_refused(folder: Path) -> None:
    (folder / "image/parent.toml").write_text('\ninherits = "child"\n')
    with pytest.raises(UserError) as caught:
        load_image_profile("child", [folder])
    assert "child → parent → child" in caught.value.what and caught.value.on.endswith("parent.toml:2")


def test_a_profile_of_ones_own_may_build_on_the_shipped_one_of_its_name(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "image").mkdir(parents=True)
    (own / "image/parent.toml").write_text('inherits = "parent"\nhostname = "own"\n')
    made = load_image_profile("parent", [own, folder])
    assert (made.hostname, made.packages) == ("own", ("curl", "vim"))


def test_fault_of_an_inherited_file_is_named_there(folder: Path) -> None:
    (folder / "image/parent.toml").write_text('\nhostname = "-"\nsize = 3.5\n')
    (folder / "image/child.toml").write_text('inherits = "parent"\n')
    with pytest.raises(UserError) as caught:
        load_image_profile("child", [folder])
    assert caught.value.on == f"{folder / 'image/parent.toml'}:2"


def test_every_shipped_profile_names_sets_that_are_there() -> None:
    manifest = load_manifest(ROOT / "packages.toml")
    names = image_profiles([ROOT / "profiles"])
    assert {"minimal", "server", "container-host", "desktop", "builder", "ci"} <= set(names)
    for name in names:
        assert manifest.select(load_image_profile(name, [ROOT / "profiles"]).sets)


def test_a_former_name_still_works() -> None:
    assert load_image_profile("container", [ROOT / "profiles"]).name == "container-host"
