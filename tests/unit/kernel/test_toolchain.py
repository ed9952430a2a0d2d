"""Which compiler, how many of them, and the key they sign modules with."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.kernel import fitting_jobs, known_module_key, module_key
from rastos.kernel import toolchain as room
from rastos.kernel.signing import IN_TREE, place_key
from rastos.kernel.toolchain import Toolchain, find_toolchain, require_version


def programs(folder: Path, machine: str = "x86_64-linux-gnu", prefix: str = "") -> None:
    """A compiler and a linker that say what they are."""
    folder.mkdir(exist_ok=True)
    for name in ("gcc", "ld", "clang", "ld.lld", "llvm-ar"):
        path = folder / f"{prefix}{name}"
        path.write_text(f'#!/bin/sh\n[ "$1" = -dumpmachine ] && echo {machine} || echo "{name} (Test 1) 12.3.0"\n')
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "variables", "compiler"),
    [
        ("gcc-13", ("CC=gcc-13", "HOSTCC=gcc-13"), "gcc-13"),
        ("llvm", ("LLVM=1",), "clang"),
        ("llvm-18", ("LLVM=-18",), "clang-18"),
        ("/opt/llvm/bin/", ("LLVM=/opt/llvm/bin/",), "/opt/llvm/bin/clang"),
        ("x86_64-linux-gnu-", ("CROSS_COMPILE=x86_64-linux-gnu-",), "x86_64-linux-gnu-gcc"),
    ],
)
def test_what_make_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, variables: tuple[str, ...], compiler: str
) -> None:
    monkeypatch.setattr(room, "_there", lambda program: False)
    with pytest.raises(HostError, match=compiler):
        find_toolchain(name)
    found = room._named(name)
    assert (found.variables, found.compiler) == (variables, compiler)
    assert found.llvm == name.startswith(("llvm", "/opt/llvm"))


@pytest.mark.parametrize("name", ["", "icc", "gcc13", "llvm-", "/opt/my llvm/", "a:b-", "$(x)-", "-", "--x-"])
def test_no_toolchain(name: str) -> None:
    with pytest.raises((UserError, HostError)) as caught:
        find_toolchain(name)
    assert caught.value.next_step


def test_a_missing_one_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_there", lambda program: False)
    with pytest.raises(HostError) as caught:
        find_toolchain("llvm")
    assert all(word in caught.value.next_step.split() for word in ("clang", "lld", "llvm"))


def test_versions_and_machine(tmp_path: Path) -> None:
    programs(tmp_path / "bin")
    found = find_toolchain(f"{tmp_path}/bin/")
    assert found.versions == ("clang (Test 1) 12.3.0", "ld.lld (Test 1) 12.3.0")
    (tmp_path / "bin/llvm-ar").unlink()
    with pytest.raises(HostError, match="there is no .*/llvm-ar"):
        find_toolchain(f"{tmp_path}/bin/")
    programs(tmp_path / "bin", "aarch64-linux-gnu", "arm-")
    with pytest.raises(HostError, match="makes code for aarch64-linux-gnu"):
        find_toolchain(f"{tmp_path}/bin/arm-")


@pytest.mark.parametrize(("least", "good"), [("5.1.0", True), ("12.3.0", True), ("12.10.0", False), ("13.0.1", False)])
def test_a_source_may_want_a_newer_one(tmp_path: Path, least: str, good: bool) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/min-tool-version.sh").write_text(f'[ "$1" = gcc ] && echo {least}\n')
    tools = Toolchain("gcc", "gcc", "ld", (), ("gcc (Debian 99.1.0) 12.3.0", ""))
    if good:
        require_version(tools, tmp_path)
    else:
        with pytest.raises(HostError, match="too old"):
            require_version(tools, tmp_path)
    require_version(tools, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("cores", "gigabytes", "jobs"), [(8, 64, 8), (8, 5, 4), (8, 2, 1), (8, 0.3, 1), (2, 0, 2), (0, 0, 1), (8, 8.9, 7)]
)
def test_jobs_fit_cores_and_memory(cores: int, gigabytes: float, jobs: int) -> None:
    assert fitting_jobs(cores, int(gigabytes * 1e9)) == jobs


def test_the_key_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    assert known_module_key(tmp_path) is None
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(module_key, [tmp_path, tmp_path])
    assert one == other == known_module_key(tmp_path)
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert [path.name for path in one.path.parent.iterdir() if path.name != ".lock"] == ["module-signing.pem"]

    tree = tmp_path / "tree"
    for _ in range(2):
        place_key(one, tree)
    assert (tree / IN_TREE).is_symlink() and (tree / IN_TREE).read_bytes() == one.path.read_bytes()

    one.path.write_text(one.path.read_text().partition("-----BEGIN CERTIFICATE")[0])
    with pytest.raises(IntegrityError, match="damaged"):
        module_key(tmp_path)
    one.path.write_bytes(b"\xff\xfe")
    with pytest.raises(IntegrityError, match="damaged"):
        module_key(tmp_path)
