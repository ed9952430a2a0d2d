"""pacman.conf as pacman reads it: includes, levels that add up, usages, and errors that name their line."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.package.channels.pacman import SignatureLevel, read_configuration, read_mirrorlist
from rastos.package.channels.pacman.settings import settings_of
from rastos.package.manifest import ChannelSpec


def conf(folder: Path, text: str, **others: str) -> Path:
    for name, content in others.items():
        (folder / name).write_text(content)
    path = folder / "pacman.conf"
    path.write_text(text)
    return path


def test_everything_a_repository_needs(tmp_path: Path) -> None:
    path = conf(
        tmp_path,
        f"""# a comment
[options]
Architecture = x86_64 x86_64_v3
SigLevel    = Required DatabaseOptional
LocalFileSigLevel = Optional
Color
HoldPkg = pacman glibc
GPGDir = /keys

[core]
Include = {tmp_path}/list
CacheServer = http://cache.example.org/$repo

[custom]
SigLevel = PackageOptional PackageTrustAll
Server = file:///srv/$repo/$arch/
Usage = Sync Install
Server=https://b.example.org/x#y
""",
        list="\n  # Server = https://off.example.org\nServer = https://a.example.org/$repo/os/$arch\n",
    )
    found = read_configuration(path)
    assert found.architectures == ("x86_64", "x86_64_v3") and found.gpgdir == Path("/keys") and not found.warnings
    core, custom = found.repositories
    assert core.servers == ("https://a.example.org/core/os/x86_64",)
    assert core.cache_servers == ("http://cache.example.org/core",)
    assert core.level == SignatureLevel("optional", "required") and core.usage == {"all"}
    assert core.where == f"{path}:10"
    assert custom.servers == ("file:///srv/custom/x86_64", "https://b.example.org/x#y")
    assert custom.level == SignatureLevel("optional", "optional", False, True)
    assert custom.usage == {"sync", "install"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", SignatureLevel()),
        ("SigLevel = Never", SignatureLevel("never", "never")),
        ("SigLevel = Required TrustAll", SignatureLevel("required", "required", True, True)),
        (
            "SigLevel = Required\nSigLevel = DatabaseNever PackageTrustAll PackageTrustedOnly",
            SignatureLevel("never", "required"),
        ),
        ("SigLevel = DatabaseRequired Optional", SignatureLevel("optional", "optional")),
    ],
)
def test_levels_add_up(tmp_path: Path, lines: str, expected: SignatureLevel) -> None:
    path = conf(tmp_path, f"[r]\n{lines}\nServer = https://example.org\n")
    assert read_configuration(path).repositories[0].level == expected


def test_the_options_count_wherever_they_stand(tmp_path: Path) -> None:
    path = conf(tmp_path, "[r]\nServer = https://example.org/$arch\n[options]\nSigLevel = Never\nArchitecture = auto\n")
    found = read_configuration(path).repositories[0]
    assert found.level.package == "never" and found.servers == (f"https://example.org/{platform.machine()}",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("Server = x\n", 1, "before any section"),
        ("[r]\nSigLevel = Sometimes\n", 2, "'Sometimes'"),
        ("[options]\nSigLevel = PackageSure\n[r]\n", 2, "'PackageSure'"),
        ("[r]\nServer\n", 2, "no value"),
        ("[r]\nServer =\n", 2, "no value"),
        ("[r]\nServer = nothing\n", 2, "expected an address"),
        ("[r]\nUsage = Sync Sometimes\n", 2, "'Sometimes'"),
        ("[r]\n\nInclude = /nowhere/at/all\n", 3, "No such file"),
        ("[r]\n[r]\n", 2, "there twice"),
        ("[local]\n", 1, "cannot be named"),
        ("[../r]\n", 1, "cannot be named"),
    ],
)
def test_errors_name_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = conf(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        read_configuration(path)
    assert caught.value.on == f"{path}:{line}" and caught.value.next_step


def test_unknown_keys_warn(tmp_path: Path) -> None:
    found = read_configuration(conf(tmp_path, "[options]\nColour\n[r]\nSever = x\nServer = https://example.org\n"))
    assert [warning.split(": ", 1)[1] for warning in found.warnings] == [
        "'Colour' in [options] is not known",
        "'Sever' in [r] is not known; did you mean Server?",
    ]


def test_includes_are_globs_may_hold_sections_and_do_not_run_in_circles(tmp_path: Path) -> None:
    path = conf(
        tmp_path,
        f"[options]\nInclude = {tmp_path}/*.repo\nInclude = {tmp_path}/*.none\n",
        **{"b.repo": "[b]\nServer = https://b.example.org\n", "a.repo": "[a]\nServer = https://a.example.org\n"},
    )
    assert [item.name for item in read_configuration(path).repositories] == ["a", "b"]
    circle = conf(tmp_path, f"[r]\nInclude = {tmp_path}/pacman.conf\n")
    with pytest.raises(UserError, match="there twice|include each other"):
        read_configuration(circle)
    (tmp_path / "loop").write_text(f"Include = {tmp_path}/loop\n")
    with pytest.raises(UserError, match="include each other"):
        read_configuration(conf(tmp_path, f"[r]\nInclude = {tmp_path}/loop\n"))


def test_mirror_lists(tmp_path: Path) -> None:
    path = tmp_path / "mirrorlist"
    path.write_text("## One\n#Server = https://a.example.org\nServer = https://b.example.org/$repo/$arch/\n")
    assert read_mirrorlist(path, "core", "x86_64") == ("https://b.example.org/core/x86_64",)
    path.write_text("#Server = https://a.example.org\n")
    with pytest.raises(UserError, match="names no server"):
        read_mirrorlist(path, "core")
    path.write_text("Sever = https://a.example.org\n")
    with pytest.raises(UserError, match="names no server"):
        read_mirrorlist(path, "core")


def test_the_manifest_wins_over_the_section(tmp_path: Path) -> None:
    text = (
        "[r]\nSigLevel = Never\nUsage = Search\nServer = https://a.example.org\nCacheServer = https://c.example.org\n"
    )
    path = conf(tmp_path, text)
    from_file = settings_of(ChannelSpec("r", "pacman", config=path))
    assert from_file.servers == ("https://a.example.org",) and from_file.cache_servers == ("https://c.example.org",)
    assert from_file.level == SignatureLevel("never", "never")
    assert from_file.allows("search") and not from_file.allows("upgrade")
    spec = ChannelSpec("r", "pacman", ("/srv/r",), config=path, siglevel=("required", "required"), usage=("all",))
    said = settings_of(spec)
    assert said.servers == ("file:///srv/r",) and said.level.database == "required" and not said.allows("upgrade")
    with pytest.raises(UserError, match=r"no section \[q\]"):
        settings_of(ChannelSpec("q", "pacman", config=path))
    with pytest.raises(UserError, match="has no server"):
        settings_of(ChannelSpec("e", "pacman", config=conf(tmp_path, "[e]\n")))
