"""Fragments: merge order, where each option came from, malformed lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import find_fragment, merge, option_groups, parse_fragment


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_last_request_wins_and_origins_are_kept(tmp_path: Path) -> None:
    one = write(tmp_path / "one.config", "# talk\nCONFIG_A=y\nCONFIG_B=m\n")
    two = write(tmp_path / "two.config", '\n# CONFIG_A is not set\nCONFIG_C="x y"\nCONFIG_B=m\nCONFIG_D=0x10\n')
    merged = merge([one, two])
    assert {item.symbol: (item.value, item.origin) for item in merged.requests} == {
        "A": ("n", "two.config:2"),
        "C": ('"x y"', "two.config:3"),
        "B": ("m", "two.config:4"),
        "D": ("0x10", "two.config:5"),
    }
    assert [(item.earlier.origin, item.later.origin) for item in merged.overrides] == [("one.config:2", "two.config:2")]
    assert merged.text() == '# CONFIG_A is not set\nCONFIG_C="x y"\nCONFIG_B=m\nCONFIG_D=0x10\n'


def test_single_settings_come_last(tmp_path: Path) -> None:
    one = write(tmp_path / "one.config", "CONFIG_A=y\nCONFIG_B=y\n")
    merged = merge([one], ["CONFIG_B=n", "C=m"])
    assert [(item.symbol, item.value, item.origin) for item in merged.requests] == [
        ("A", "y", "one.config:1"),
        ("B", "n", "--set:1"),
        ("C", "m", "--set:2"),
    ]
    assert [item.later.origin for item in merged.overrides] == ["--set:1"]
    assert merged.changed([one]) and not merge([one]).changed([one])
    with pytest.raises(UserError, match="--set:1: 'CONFIG_X=maybe' is not an option"):
        merge([], ["X=maybe"])


def test_comments_don_t_change_the_text(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.config", "CONFIG_A=y\n")
    talk = write(tmp_path / "talk.config", "# why\n\nCONFIG_A=y\n")
    assert merge([bare]).text() == merge([talk]).text()


@pytest.mark.parametrize(
    "line", ["CONFIG_A", "A=y", "CONFIG_A=yes", 'CONFIG_A="open', "CONFIG_A=y # talk", "CONFIG_A = y"]
)
def test_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "bad.config", f"CONFIG_OK=y\n{line}\n")
    with pytest.raises(UserError, match=r"bad\.config:2: "):
        parse_fragment(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the fragment"):
        merge([tmp_path / "none.config"])


def test_option_groups(tmp_path: Path) -> None:
    path = write(
        tmp_path / "one.config",
        "# about the file\nCONFIG_A=y\n## Disks: what holds the root: btrfs\nCONFIG_B=y\n# CONFIG_C is not set\n\n"
        "## Nets: to talk\n# why D\nCONFIG_D=m\n",
    )
    groups = option_groups([path])
    assert [(item.title, item.purpose, item.symbols, item.line) for item in groups] == [
        ("", "", ("A",), 0),
        ("Disks", "what holds the root: btrfs", ("B", "C"), 3),
        ("Nets", "to talk", ("D",), 7),
    ]
    assert {symbol for item in groups for symbol in item.symbols} == {item.symbol for item in merge([path]).requests}


@pytest.mark.parametrize("line", ["## Disks", "## Disks:", "## : why", "##Disks: why"])
def test_a_group_says_its_purpose(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "one.config", f"CONFIG_A=y\n{line}\n")
    with pytest.raises(UserError, match=r"one\.config:2: .*no purpose"):
        option_groups([path])


def test_a_fragment_by_path_by_name_and_without_its_number(tmp_path: Path) -> None:
    own, shipped = tmp_path / "own/kernel/fragments", tmp_path / "shipped/kernel/fragments"
    for folder, names in ((own, ("82-locks", "mine")), (shipped, ("82-locks", "83-kasan", "84-leaks", "85-leaks"))):
        folder.mkdir(parents=True)
        for name in names:
            write(folder / f"{name}.config", "CONFIG_A=y\n")
    search = [tmp_path / "own", tmp_path / "shipped"]
    file = write(tmp_path / "kasan", "CONFIG_A=y\n")
    assert find_fragment(str(file), search) == file
    assert find_fragment("kasan", search) == find_fragment("83-kasan.config", search) == shipped / "83-kasan.config"
    assert find_fragment("locks", search) == own / "82-locks.config", "the project's own goes before"
    with pytest.raises(UserError, match="more than one") as caught:
        find_fragment("leaks", search)
    assert "84-leaks, 85-leaks" in caught.value.next_step
    for wanted in ("kasn", "../fragments/82-locks"):
        with pytest.raises(UserError, match="no fragment"):
            find_fragment(wanted, search)
    with pytest.raises(UserError) as caught:
        find_fragment("kasn", search)
    assert "did you mean 'kasan'?" in caught.value.next_step
