"""The final configuration against the request; reasons as kconfiglib and as plain text give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import MayDrop, Merged, merge
from rastos.kernel import kconfig as room

KCONFIG = """\
mainmenu "Small"

config MODULES
\tbool "Modules"
\tmodules

config NET
\tbool "Networking"

config USB
\tbool "USB"

config USB_STORAGE
\tbool "Disks on USB"
\tdepends on USB && NET

config HIDDEN
\tbool
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/Kconfig").write_text(KCONFIG)
    return tmp_path / "tree"


def asked(tmp_path: Path, text: str) -> Merged:
    (tmp_path / "asked.config").write_text(text)
    return merge([tmp_path / "asked.config"])


def final(tmp_path: Path, text: str) -> Path:
    (tmp_path / ".config").write_text(text)
    return tmp_path / ".config"


def test_unset_and_number_spellings_are_not_drops(tmp_path: Path) -> None:
    merged = asked(tmp_path, 'CONFIG_A=n\n# CONFIG_B is not set\nCONFIG_C=0x10\nCONFIG_D="t"\nCONFIG_E=""\n')
    got = room.read_config(final(tmp_path, '# CONFIG_A is not set\nCONFIG_C=16\nCONFIG_D="t"\n'))
    assert room.compare(merged, got) == ()


def test_n_that_stays_on_is_a_drop(tmp_path: Path) -> None:
    found = room.compare(asked(tmp_path, "CONFIG_A=n\nCONFIG_B=m\n"), {"A": "y", "B": "y"})
    assert [(item.request.symbol, item.request.value, item.got) for item in found] == [("A", "n", "y"), ("B", "m", "y")]


def test_unmet_dependency_is_named(tmp_path: Path, tree: Path) -> None:
    merged = asked(tmp_path, "CONFIG_NET=y\nCONFIG_USB_STORAGE=y\n")
    with pytest.raises(UserError) as caught:
        room.check(merged, final(tmp_path, "CONFIG_NET=y\n"), tree, "6.12.0")
    assert "CONFIG_USB_STORAGE: wanted y, got n (asked.config:2): needs USB" in caught.value.what
    assert "needs USB and NET" not in caught.value.what, "NET is on: it is not what is missing"


def test_unknown_symbol_gets_near_ones(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(UserError) as caught:
        room.check(asked(tmp_path, "CONFIG_USB_STORRAGE=y\n"), final(tmp_path, ""), tree, "6.12.0")
    assert "no such symbol; did you mean USB_STORAGE" in caught.value.what


def test_symbol_without_prompt(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(UserError, match="selected by another symbol"):
        room.check(asked(tmp_path, "CONFIG_HIDDEN=y\n"), final(tmp_path, ""), tree, "6.12.0")


def test_text_is_the_reason_where_the_model_cannot_load(tmp_path: Path, tree: Path) -> None:
    (tree / "Kconfig").write_text(KCONFIG + "\nnew_keyword something\n")
    with pytest.raises(UserError) as caught:
        room.check(asked(tmp_path, "CONFIG_USB_STORAGE=y\nCONFIG_NTE=y\n"), final(tmp_path, ""), tree, "9.0.0")
    assert "needs USB && NET" in caught.value.what
    assert "and 1 more" in caught.value.what
    assert "CONFIG_NTE" in caught.value.detail
    assert "did you mean NET" in caught.value.detail


def test_accepted_drop_passes_and_is_returned(tmp_path: Path, tree: Path) -> None:
    allowed = [MayDrop("LATER", "exists since 7.0")]
    found = room.check(asked(tmp_path, "CONFIG_LATER=y\n"), final(tmp_path, ""), tree, "6.12.0", allowed)
    assert [item.accepted for item in found] == ["exists since 7.0"]
