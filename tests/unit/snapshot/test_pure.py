"""Boot entries, /etc decisions and the tree, without a disk."""

from __future__ import annotations

import stat

import pytest

from rastos.snapshot.bootentry import kernel_options, parse_entry, parse_name, write_entry
from rastos.snapshot.etc_merge import EtcMerge, plan_merge
from rastos.snapshot.etc_tree import Item


@pytest.mark.parametrize(
    ("name", "number", "left", "state"),
    [
        ("rastos-12+3.conf", 12, 3, "new"),
        ("rastos-12+2-1.conf", 12, 2, "new"),
        ("rastos-12+0-3.conf", 12, 0, "bad"),
        ("rastos-12.conf", 12, None, "good"),
    ],
)
def test_entry_names(name: str, number: int, left: int | None, state: str) -> None:
    found = parse_name(name)
    assert found is not None
    assert (found.number, found.left, found.state) == (number, left, state)


@pytest.mark.parametrize(
    "name", ["rastos-1+3.conf.new", "arch.conf", "rastos-x.conf", "rastos-1+3.conf~", "xrastos-1.conf"]
)
def test_names_that_are_not_ours(name: str) -> None:
    assert parse_name(name) is None


def test_an_entry_reads_back_and_a_description_cannot_add_lines() -> None:
    options = kernel_options(partuuid="u", snapshot=3, deployment=7, cmdline="console=ttyS0")
    text = write_entry(number=7, title="a\noptions init=/bin/sh", kernel="/rastos/x/vmlinuz", options=options)
    assert parse_entry(text)["options"] == options
    assert [line.split()[0] for line in text.splitlines()] == ["title", "version", "sort-key", "linux", "options"]
    assert "rootflags=subvol=snapshots/3/tree ro init=/usr/lib/rastos/init rastos.deployment=7" in options


def _file(content: str, mode: int = 0o644) -> Item:
    return Item(stat.S_IFREG, mode, (0, 0), content, ())


A, B, C = _file("a"), _file("b"), _file("c")
FOLDER = Item(stat.S_IFDIR, 0o755, (0, 0), "", ())


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (A, A, B, EtcMerge(take=("x",))),  # they changed it
        (A, B, A, EtcMerge()),  # we changed it
        (A, B, B, EtcMerge()),  # both, alike
        (None, None, A, EtcMerge(take=("x",))),  # they added it
        (None, A, None, EtcMerge()),  # we added it
        (None, A, B, EtcMerge(conflicts=("x",))),
        (A, A, None, EtcMerge(remove=("x",))),  # they dropped it
        (A, B, None, EtcMerge()),  # they dropped what we changed: it stays
        (A, None, A, EtcMerge()),  # we dropped it
        (A, None, B, EtcMerge(conflicts=("x",))),  # we dropped what they changed
        (A, _file("a", 0o600), A, EtcMerge()),  # a mode is a change as well
        (A, A, _file("a", 0o600), EtcMerge(take=("x",))),
        (A, FOLDER, B, EtcMerge(conflicts=("x",))),
    ],
)
def test_every_case_of_a_path(base: Item | None, ours: Item | None, theirs: Item | None, expected: EtcMerge) -> None:
    trees = [{"x": item} if item else {} for item in (base, ours, theirs)]
    assert plan_merge(*trees) == expected


def test_a_folder_stays_while_something_of_ours_is_in_it() -> None:
    base = {"d": FOLDER, "d/theirs": A}
    ours = {"d": FOLDER, "d/theirs": A, "d/mine": B}
    assert plan_merge(base, ours, {}).remove == ("d/theirs",)
    assert plan_merge(base, base, {}).remove == ("d", "d/theirs")


def test_identity_is_never_taken_from_a_snapshot() -> None:
    for name in ("machine-id", "ssh/ssh_host_rsa_key", "rastos/deployment.json"):
        assert plan_merge({name: A}, {name: B}, {name: C}) == EtcMerge()
