"""The manifest: sets, channels, and errors that say where and what."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.package import Manifest, load_manifest

PROJECT = Path(__file__).parents[3]


def read(tmp_path: Path, text: str) -> Manifest:
    path = tmp_path / "packages.toml"
    path.write_text(text)
    return load_manifest(path)


def test_flat_list_is_a_manifest(tmp_path: Path) -> None:
    manifest = read(tmp_path, 'packages = ["bash", "htop", "bash"]')
    assert manifest.select(["default"]) == ("bash", "htop")
    assert manifest.channels == {}


def test_includes_come_first_and_each_name_once(tmp_path: Path) -> None:
    text = """
[sets]
tools = ["less", "nano"]
[sets.base]
packages = ["bash", "less"]
[sets.server]
include = ["base", "tools"]
packages = ["sshd", "bash"]
"""
    manifest = read(tmp_path, text)
    assert manifest.select(["server", "base"]) == ("bash", "less", "nano", "sshd")


def test_channels(tmp_path: Path) -> None:
    text = """
[channels.core]
kind = "pacman"
server = ["https://one.example/$repo", "/srv/repo"]
siglevel = "PackageRequired DatabaseNever"
keyring = "keys.gpg"
priority = 7
[channels.debian]
kind = "debian"
url = "http://deb.example/debian"
suites = ["bookworm", "bookworm-updates"]
"""
    manifest = read(tmp_path, text)
    core = manifest.channels["core"]
    assert core.server == ("https://one.example/$repo", "/srv/repo")
    assert core.siglevel == ("never", "required")
    assert core.keyring == tmp_path / "keys.gpg"
    assert core.priority == 7
    assert manifest.channels["debian"].suites == ("bookworm", "bookworm-updates")


def test_default_manifest_of_the_project() -> None:
    manifest = load_manifest(PROJECT / "packages.toml")
    assert {"base", "server", "container"} <= set(manifest.sets)
    without_clock = set(manifest.select(["base"])) - {"systemd-timesyncd"}  # a server has chrony
    assert without_clock < set(manifest.select(["container"]))


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ('schema = 1\nx = [1,\n"', "3:2", "malformed TOML", "correct"),
        ("schema = 2", "1:1", "expected 1", "schema = 1"),
        ('pakages = ["a"]', "1:1", "unknown key 'pakages'", "did you mean 'packages'"),
        ('[sets.base]\npackages = ["a"]\ninclud = []', "3:1", "unknown key 'includ'", "did you mean 'include'"),
        ('[sets.base]\n[sets.x]\ninclude = ["bas"]', "3:13", "unknown set 'bas'", "did you mean 'base'"),
        ('[sets.x]\n  packages = "a"', "2:3", "a string, expected a list", 'packages = ["name"'),
        ('[sets.x]\npackages = ["a b"]', "2:14", "'a b', expected a name", "strings"),
        ('[channels.x]\nkind = "pacmn"', "2:1", "expected one of debian, pacman, local", "did you mean 'pacman'"),
        ('[channels.x]\nkind = "pacman"', "1:1", "names no server", "server ="),
        ('[channels.x]\nkind = "local"\nserver = "/x"\nsiglevel = "Requird"', "4:13", "'Requird'", "did you mean"),
    ],
)
def test_errors_say_where_what_and_what_else(tmp_path: Path, text: str, where: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert caught.value.on == f"{tmp_path / 'packages.toml'}:{where}"
    assert what in caught.value.what
    assert hint in caught.value.next_step


def test_includes_in_a_circle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a → b → a"):
        read(tmp_path, '[sets.a]\ninclude = ["b"]\n[sets.b]\ninclude = ["a"]')


def test_unknown_set_names_near_ones(tmp_path: Path) -> None:
    manifest = read(tmp_path, '[sets.server]\npackages = ["a"]')
    with pytest.raises(UserError) as caught:
        manifest.select(["sever"])
    assert "did you mean 'server'?" in caught.value.next_step


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no package manifest"):
        load_manifest(tmp_path / "none.toml")
