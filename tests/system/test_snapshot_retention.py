"""What goes and what stays: prune on a real btrfs, and the sizes it counts with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.progress import Progress
from rastos.snapshot import (
    Store,
    copy_snapshots,
    create_session,
    create_snapshot,
    delete,
    examine,
    known_sizes,
    measured_sizes,
    parse_schedule,
    plan_copy,
    plan_delete,
    plan_prune,
    prune,
)
from tests.system.storehouse import child, flaws
from tests.system.treehouse import deployed, planted

MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with planted(tmp_path) as opened:
        yield opened


def blob(store: Store, base: int, **sizes: int | None) -> int:
    """A child with files of so many MiB that don't compress; None removes one."""
    with create_session(store, base, "test") as session:
        for name, count in sizes.items():
            if count is None:
                (session.tree / name).unlink()
            else:
                (session.tree / name).write_bytes(os.urandom(count * MIB))
        return session.commit(f"blob of {base}").id


def own(store: Store, cache: Path) -> dict[int, int]:
    return {number: found.exclusive // MIB for number, found in measured_sizes(store, cache, Progress()).items()}


def freed(store: Store, number: int) -> int:
    """What deleting a snapshot really frees, in MiB."""
    from rastos.snapshot.retention import _wait_for_space

    def used() -> int:
        _wait_for_space(store, 1 << 60)
        found = os.statvfs(store.top)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    before = used()
    delete(store, plan_delete(store, number))
    return round((before - used()) / MIB)


def test_sizes_are_what_deleting_frees(store: Store, tmp_path: Path) -> None:
    blob(store, 0, a=4)  # 1
    blob(store, 1, b=8)  # 2
    blob(store, 2, a=None, c=2)  # 3
    copy_snapshots(store, plan_copy(store, 2, parent=None, what="clone"))  # 4
    sizes = measured_sizes(store, tmp_path, Progress())
    assert {number: found.total // MIB for number, found in sizes.items()} == {0: 0, 1: 4, 2: 12, 3: 10, 4: 12}
    assert {number: found.new // MIB for number, found in sizes.items()} == {0: 0, 1: 4, 2: 8, 3: 2, 4: 0}
    assert own(store, tmp_path) == {0: 0, 1: 0, 2: 0, 3: 2, 4: 0}
    assert freed(store, 2) == 0
    # 4 has been left alone with nobody's help but the kernel's: what 2 brought is still shared with 3
    assert own(store, tmp_path) == {0: 0, 1: 0, 3: 2, 4: 0}
    assert freed(store, 3) == 2
    assert own(store, tmp_path) == {0: 0, 1: 0, 4: 8}
    assert freed(store, 1) == 0
    assert own(store, tmp_path) == {0: 0, 4: 12}
    assert own(store, tmp_path / "nothing known") == {0: 0, 4: 12}
    assert freed(store, 4) == 12


def test_sizes_are_remembered_until_a_neighbour_changes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob(store, 0, a=2)
    blob(store, 1, b=2)
    assert known_sizes(store, tmp_path) == {}
    first = measured_sizes(store, tmp_path, Progress())
    assert known_sizes(store, tmp_path) == first
    seen: list[Path] = []
    from rastos.snapshot import sizes

    measure = sizes._measure
    monkeypatch.setattr(sizes, "_measure", lambda tree, *rest: seen.append(tree) or measure(tree, *rest))  # type: ignore[func-returns-value]
    assert measured_sizes(store, tmp_path, Progress()) == first and not seen
    create_snapshot(store, 2, "one more")
    assert set(known_sizes(store, tmp_path)) == {0, 1}
    measured_sizes(store, tmp_path, Progress())
    assert seen == [store.tree(2), store.tree(3)]
    assert own(store, tmp_path) == {0: 0, 1: 0, 2: 0, 3: 0}


def test_prune_keeps_what_must_stay_and_says_why(store: Store) -> None:
    deployed(store, 0, good=True)
    for number in range(6):
        made = create_snapshot(store, number, f"day {number}")
        store.update(replace(made, created=f"2026-03-{number + 1:02d}T12:00:00+00:00", pinned=number == 1))
    deployed(store, 4)
    plan = plan_prune(store, parse_schedule("last=1 daily=2"))
    why = {item.snapshot: (item.keep, item.reasons) for item in plan.verdicts}
    assert why == {
        0: (True, ("it is the last one known to boot well",)),
        1: (False, ("no rule keeps it",)),
        2: (True, ("it is pinned",)),
        3: (False, ("no rule keeps it",)),
        4: (True, ("it boots next (deployment 2)",)),
        5: (True, ("daily 2026-03-05",)),
        6: (True, ("last 1 of 1", "daily 2026-03-06")),
    }
    assert prune(store, plan, Progress()) == (1, 3)
    assert {item.id: item.parent for item in store.snapshots()} == {0: None, 2: 0, 4: 2, 5: 4, 6: 5}
    assert examine(store) == () and flaws(store) == []
    again = plan_prune(store, parse_schedule("last=1 daily=2"))
    assert not again.removal.snapshots


def test_branches_have_their_own_schedule(store: Store) -> None:
    create_snapshot(store, 0, "web", name="web")
    for base in (1, 2, 3):
        create_snapshot(store, base, "x")
    create_snapshot(store, 0, "beside")
    copy_snapshots(store, plan_copy(store, 0, parent=None, what="clone"))
    plan = plan_prune(store, parse_schedule("last=1; web: last=2"))
    assert [item.snapshot for item in plan.verdicts if item.keep] == [3, 4, 5, 6]
    assert {item.snapshot: item.branch for item in plan.verdicts} == {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 0, 6: 6}
    # a schedule for one branch says nothing of the others
    plan = plan_prune(store, parse_schedule("web: last=1"))
    assert plan.removal.snapshots == (1, 2, 3)
    with pytest.raises(UserError, match="no snapshot 'wbe'"):
        plan_prune(store, parse_schedule("wbe: last=1"))


def test_the_proven_ones_stay_by_count(store: Store) -> None:
    for number in range(4):
        deployed(store, number, good=True)
        create_snapshot(store, number, "x")
    plan = plan_prune(store, parse_schedule("good=2"))
    assert [item.snapshot for item in plan.verdicts if item.keep] == [2, 3]
    assert plan.removal.deployments == (1, 2) or plan.removal.deployments == (2,)
    prune(store, plan, Progress())
    assert flaws(store) == [] and examine(store) == ()


def test_what_booted_well_is_remembered_beyond_its_deployment(store: Store) -> None:
    deployed(store, 0, good=True)
    for number in range(6):
        create_snapshot(store, number, "x")
        deployed(store, number + 1, good=number > 2)
    assert 1 not in [item.number for item in store.deployments()]
    assert store.snapshot(0).proven
    assert [item.id for item in store.snapshots() if item.proven] == [0, 4, 5]
    plan = plan_prune(store, parse_schedule("good=4"))
    assert [item.snapshot for item in plan.verdicts if item.keep] == [0, 4, 5, 6]


def test_space_that_has_to_be_free_takes_the_oldest_and_never_what_stays(store: Store, tmp_path: Path) -> None:
    deployed(store, 0, good=True)
    one = blob(store, 0, a=60)
    two = blob(store, 0, a=60)
    three = blob(store, 0, a=60)
    store.update(replace(store.snapshot(one), pinned=True))
    found = os.statvfs(store.top)
    wanted = (found.f_bavail * found.f_frsize + 40 * MIB) >> 20
    schedule = parse_schedule("last=9", floor=f"{wanted}M")
    plan = plan_prune(store, schedule, measured_sizes(store, tmp_path, Progress()))
    assert plan.removal.snapshots == () and plan.spare == (two,)
    assert prune(store, plan, Progress()) == (two,)
    assert [item.id for item in store.snapshots()] == [0, one, three]
    found = os.statvfs(store.top)
    assert found.f_bavail * found.f_frsize >= wanted * MIB
    # more than can be had: everything that must stay is still there
    plan = plan_prune(store, parse_schedule("last=9", floor="400G"), {})
    prune(store, plan, Progress())
    assert [item.id for item in store.snapshots()] == [0, one, three]


def test_dropped_snapshots_take_their_deployments_along(store: Store) -> None:
    deployed(store, 0, good=True)
    child(store, 0, "a", {"usr/lib/modules/6.1-test/vmlinuz": "another"})
    deployed(store, 1)
    deployed(store, 0, good=True)
    plan = plan_prune(store, parse_schedule("good=1"))
    assert (plan.removal.snapshots, plan.removal.deployments) == ((1,), (2,))
    prune(store, plan, Progress())
    assert [entry.number for entry in store.entries()] == [1, 3]
    assert len(store.esp.list("/rastos")) == 2
    assert examine(store) == () and flaws(store) == []
