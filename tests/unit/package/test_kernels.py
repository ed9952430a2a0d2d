"""The last kernel of a tree and the one that runs are not removed by the way."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.package import Change, Plan, TransactionPolicy, plan_change, target_for
from rastos.package.kernels import check_kernels, releases_of
from rastos.package.records import PackageRecord
from rastos.package.target import Target
from rastos.progress import Progress


def put(target: Target, name: str, files: str) -> None:
    folder = target.database / "local" / f"{name}-1-1"
    folder.mkdir(parents=True)
    (folder / "desc").write_text(f"%NAME%\n{name}\n\n%VERSION%\n1-1\n")
    (folder / "files").write_text(f"%FILES%\nusr/\n{files}\n")
    path = target.root / files
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    made = target_for(tmp_path / "root", tmp_path / "cache", immutable=True)
    (made.database / "local").mkdir(parents=True)
    put(made, "linux-rastos-a", "usr/lib/modules/6.12-a/vmlinuz")
    put(made, "tool", "usr/bin/tool")
    return made


def removal(target: Target, *names: str) -> Plan:
    return plan_change(target, [], Change(remove=names), Progress())


def test_the_only_kernel_stays(target: Target) -> None:
    check_kernels(target, removal(target, "tool"), TransactionPolicy())
    plan = removal(target, "linux-rastos-a")
    with pytest.raises(UserError, match="linux-rastos-a is the only kernel here") as caught:
        check_kernels(target, plan, TransactionPolicy())
    assert "--without-kernel" in caught.value.next_step
    check_kernels(target, plan, TransactionPolicy(without_kernel=True))
    other = PackageRecord("linux-other", "1-1", provides=("linux=6.12",))
    check_kernels(target, replace(plan, records=(other,)), TransactionPolicy())
    with pytest.raises(UserError, match="only kernel"):
        check_kernels(target, replace(plan, records=(PackageRecord("tool-two", "1-1"),)), TransactionPolicy())


def test_one_of_two_may_go(target: Target) -> None:
    put(target, "linux-rastos-b", "usr/lib/modules/6.12-b/vmlinuz")
    check_kernels(target, removal(target, "linux-rastos-a"), TransactionPolicy())
    with pytest.raises(UserError, match=r"linux-rastos-a, linux-rastos-b|linux-rastos-b, linux-rastos-a"):
        check_kernels(target, removal(target, "linux-rastos-a", "linux-rastos-b"), TransactionPolicy())


def test_the_running_kernel_stays(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    put(target, "linux-rastos-b", "usr/lib/modules/6.12-b/vmlinuz")
    monkeypatch.setattr(platform, "release", lambda: "6.12-a")
    plan = removal(target, "linux-rastos-a")
    check_kernels(target, plan, TransactionPolicy())  # a tree that doesn't run
    monkeypatch.setattr("os.path.realpath", lambda path: "/")
    with pytest.raises(UserError, match="the kernel that runs"):
        check_kernels(target, plan, TransactionPolicy())
    check_kernels(target, removal(target, "linux-rastos-b"), TransactionPolicy())


def test_kernels_are_known_by_their_files() -> None:
    files = (
        "usr/lib/modules/6.1/vmlinuz",
        "boot/vmlinuz-5.10-amd64",
        "boot/config-5.10",
        "usr/lib/modules/6.1/a/vmlinuz",
    )
    assert releases_of(files) == ("6.1", "5.10-amd64")
