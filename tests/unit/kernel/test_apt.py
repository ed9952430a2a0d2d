"""Choosing among what apt offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import HostError, UserError
from rastos.kernel.sources import apt

OFFERS = (
    apt.Offer("linux-source-6.1", "6.1.192-2", "a"),
    apt.Offer("linux-source-6.12", "6.12.117-1~deb12u1", "b"),
    apt.Offer("linux-source-6.9", "6.9.7-1~bpo12+1", "c"),
)


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "offers", lambda cache: OFFERS)


@pytest.mark.parametrize(
    ("wanted", "package"),
    [
        (None, "linux-source-6.12"),
        ("6.12", "linux-source-6.12"),
        ("6.1", "linux-source-6.1"),
        ("6.12.117", "linux-source-6.12"),
        ("6.9.7-1~bpo12+1", "linux-source-6.9"),
        ("linux-source-6.9", "linux-source-6.9"),
    ],
)
def test_choice(tmp_path: Path, wanted: str | None, package: str) -> None:
    assert apt.choose(wanted, tmp_path).package == package


def test_nothing_of_that_version(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        apt.choose("7.3", tmp_path)
    assert "linux-source-6.12 (6.12.117-1~deb12u1)" in caught.value.next_step


def test_no_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "offers", lambda cache: ())
    with pytest.raises(HostError) as caught:
        apt.choose(None, tmp_path)
    assert "apt-get update" in caught.value.next_step
