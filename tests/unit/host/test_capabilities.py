"""What doctor finds: the one list of packages as both of its readers see it, and findings for what is missing."""

from __future__ import annotations

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from rastos.host import Finding, capabilities, how_to_install, run, survey, system_package_list, system_packages
from tests.conftest import ROOT

Usage = namedtuple("Usage", "total used free")


def found(findings: list[Finding], name: str) -> Finding:
    (one,) = [finding for finding in findings if finding.name == name]
    return one


def test_every_row_is_whole_and_looked_for_once() -> None:
    rows = system_packages()
    assert len({row.program for row in rows}) == len(rows)
    assert {row.need for row in rows} == {"main", "some", "test"}
    for row in rows:
        assert row.purpose and set(row.names) == {"debian", "arch", "fedora"}
        assert all(re.fullmatch(r"-|[a-zA-Z0-9][a-zA-Z0-9.+-]+", name) for name in row.names.values()), row


@pytest.mark.parametrize(("family", "column"), [("debian", 3), ("arch", 4), ("fedora", 5)])
def test_the_bootstrap_reads_what_python_reads(family: str, column: int) -> None:
    script = (ROOT / "scripts/bootstrap").read_text()
    (program,) = re.findall(r'awk -v c="\$column" \'(.*)\' "\$list"', script)
    assert f'*" {family} "*) column={column} ;;' in script
    done = run(["awk", "-v", f"c={column}", program, system_package_list.LIST])
    assert set(done.stdout.split()) == {row.names[family] for row in system_packages()} - {"-"}


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_package_list, "distribution", lambda: "debian")
    assert how_to_install(["mkfs.btrfs.unknown"]) == "install it: apt-get install mkfs.btrfs.unknown"
    assert how_to_install(["qemu-storage-daemon", "mcopy"]) == "install it: apt-get install mtools qemu-system-common"
    monkeypatch.setattr(system_package_list, "distribution", lambda: "arch")
    assert how_to_install(["qemu-storage-daemon", "qemu-img"]) == "install it: pacman -S --needed qemu-img"


def test_a_missing_program_stops_the_main_job_only_where_it_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = capabilities.find_program
    gone = {"btrfs", "ccache", "shellcheck"}
    monkeypatch.setattr(capabilities, "find_program", lambda name: None if name in gone else here(name))
    findings = survey(tmp_path)
    btrfs, ccache, shellcheck = (found(findings, name) for name in ("btrfs", "ccache", "shellcheck"))
    assert (btrfs.status, btrfs.required) == ("missing", True) and "btrfs-progs" in btrfs.remedy
    for one in (ccache, shellcheck):
        assert (one.status, one.required) == ("degraded", False) and one.remedy


@pytest.mark.parametrize(("gib", "status"), [(100, "ok"), (8, "degraded"), (1, "missing")])
def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gib: int, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 50, 0, gib << 30))
    space = found(survey(tmp_path / "not" / "there" / "yet"), "free space")
    assert space.status == status and f"{gib}.0 GiB at {tmp_path}" in space.detail
    assert bool(space.remedy) == (status != "ok")


def test_what_is_not_fine_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "find_program", lambda name: None)
    monkeypatch.setattr(capabilities, "find_spec", lambda name: None)
    findings = survey(tmp_path)
    assert not [one for one in findings if one.required and one.status != "ok" and not one.remedy]
    assert found(findings, "pyalpm").status == "missing"
    names = [one.name for one in findings]
    assert len(names) == len(set(names))
