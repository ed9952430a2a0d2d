"""The grammar of retention and what it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rastos.errors import UserError
from rastos.snapshot import Snapshot, parse_schedule
from rastos.snapshot.schedule import Floor, Rules, kept_by, parse_floor

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(number: int, **after: float) -> Snapshot:
    return Snapshot(number, "", None, (START + timedelta(**after)).isoformat(timespec="seconds"))


def test_the_grammar() -> None:
    found = parse_schedule("last=5, daily=7 within=2d free=10%; web: weekly=4 good=2; 12: last=1")
    assert found.rules == Rules(last=5, daily=7, within=48)
    assert found.branches == (("web", Rules(weekly=4, good=2)), ("12", Rules(last=1)))
    assert found.floor.bytes(1000) == 100
    assert parse_schedule("last=1", floor="5G").floor == Floor(size=5 << 30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dayly=7", "did you mean daily"),
        ("daily", "no term|terms"),
        ("daily=x", "whole number"),
        ("daily=-1", "whole number"),
        ("within=3", "12h"),
        ("free=110%", "10%"),
        ("", "last=5"),
        ("free=10%", "last=5"),
        ("web: ; free=10%", "last=5"),
    ],
)
def test_what_is_wrong_is_named_with_an_example(text: str, said: str) -> None:
    import re

    with pytest.raises(UserError) as caught:
        parse_schedule(text)
    assert re.search(said, f"{caught.value.what} {caught.value.next_step}")


@pytest.mark.parametrize("text", ["", "ten", "-5G", "100%", "5X", "%"])
def test_space_that_is_none(text: str) -> None:
    with pytest.raises(UserError):
        parse_floor(text)


def test_one_for_each_period_the_newest_of_it() -> None:
    every = [at(number, hours=8 * number) for number in range(30)]  # three a day, ten days
    why = kept_by(Rules(daily=3), every)
    assert why == {29: ("daily 2026-03-10",), 26: ("daily 2026-03-09",), 23: ("daily 2026-03-08",)}
    assert set(kept_by(Rules(last=2, monthly=2), every)) == {29, 28}
    assert kept_by(Rules(weekly=9), every).keys() == {29, 23, 2}  # 1 March 2026 is a Sunday
    assert set(kept_by(Rules(within=24), every)) == {29, 28, 27, 26}


def test_days_without_snapshots_do_not_count() -> None:
    every = [at(0), at(1, days=100), at(2, days=200)]
    assert set(kept_by(Rules(daily=2), every)) == {1, 2}


def test_a_clock_that_went_back_keeps_more_never_less() -> None:
    every = [at(0), at(1, days=1), at(2, days=-4000), at(3, days=2)]
    assert set(kept_by(Rules(last=2), every)) == {2, 3}
    assert set(kept_by(Rules(daily=3), every)) == {3, 2, 1}
    # from a clock in the future: the days after it are still told apart
    every = [at(0, days=9000), at(1, days=1), at(2, days=2)]
    assert set(kept_by(Rules(daily=2), every)) == {2, 1}


def test_those_that_booted_well() -> None:
    every = [at(number) for number in range(6)]
    assert kept_by(Rules(good=2), every, proven=(9, 4, 1, 0)) == {4: ("good 1 of 2",), 1: ("good 2 of 2",)}
