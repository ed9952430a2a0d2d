"""The real thing, small: the micro kernel built a second time in another folder, without ccache, byte for byte the same."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.host import find_program
from rastos.kernel import BuildPlan, BuiltKernel, build, plan_build
from rastos.package import LocalRepository
from rastos.progress import Progress
from tests.micro_kernel import plan_micro


def members(package: Path, into: Path) -> dict[str, tuple[str, str]]:
    """Name → (mode, owner, size, time and link as bsdtar lists them, digest of the content)."""
    into.mkdir()
    subprocess.run(["bsdtar", "-xf", package, "-C", into], check=True)
    listed = subprocess.run(["bsdtar", "-tvf", package], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in listed.splitlines():
        *facts, name = line.split(None, 8)
        path = into / name
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[name] = (" ".join(facts), content)
    return found


def difference(one: Path, other: Path, work: Path) -> str:
    """Which members differ, and in what; for a small text the lines."""
    first, second = members(one, work / "one"), members(other, work / "other")
    words = []
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if a == b:
            continue
        words.append(f"{name}: {a} / {b}")
        diff = ["diff", "-U0", "-a", work / "one" / name, work / "other" / name]
        words.append(subprocess.run(diff, capture_output=True, text=True, errors="replace").stdout[:600])
    return "\n".join(words) or "the same members: the archives differ in order or compression"


def elsewhere(plan: BuildPlan, folder: Path) -> BuildPlan:
    """The same build with other folders for cache, state and repository; the same key for modules."""
    shutil.copytree(plan.state / "keys", folder / "there/keys")
    sources = folder / "another/cache/of/kernels/sources"
    sources.mkdir(parents=True)
    subprocess.run(["cp", "--archive", "--link", plan.source.tree.parent, sources], check=False)
    if not (sources / plan.source.id / "source.json").is_file():  # on another file system
        shutil.rmtree(sources / plan.source.id, ignore_errors=True)
        subprocess.run(["cp", "--archive", plan.source.tree.parent, sources], check=True)
    return plan_build(
        plan.profile, jobs=3, cache=sources.parent, repository=LocalRepository(folder / "there/repository")
    )


def without(*programs: str) -> pytest.MonkeyPatch:
    """A machine that lacks these programs, for the build."""
    patch = pytest.MonkeyPatch()
    room = importlib.import_module("rastos.kernel.build")
    patch.setattr(room, "find_program", lambda name: None if name in programs else find_program(name))
    return patch


def words_in(path: Path, words: Sequence[str]) -> list[str]:
    content = path.read_bytes()
    return [word for word in words if word.encode() in content]


def test_another_folder_without_ccache_gives_the_same_bytes(micro_kernel: BuiltKernel, tmp_path: Path) -> None:
    here = plan_micro()
    there = elsewhere(here, tmp_path)
    assert there.key == here.key
    assert not there.cached
    patch = without("ccache")
    try:
        second = build(there, Progress())
    finally:
        patch.undo()
    assert not (there.cache / "ccache").exists(), "it was compiled, not remembered"
    if second.sha256 != micro_kernel.sha256:
        pytest.fail(difference(micro_kernel.package, second.package, tmp_path))
    assert second.release == micro_kernel.release

    # nothing of this machine is in what was made
    places = [str(there.cache), str(there.state), str(here.cache), os.uname().nodename]
    unpacked = tmp_path / "package"
    unpacked.mkdir()
    subprocess.run(["bsdtar", "-xf", second.package, "-C", unpacked], check=True)
    for path in (there.tree / "vmlinux", *(path for path in unpacked.rglob("*") if path.is_file())):
        assert not words_in(path, places), path

    # nothing changed: no make, and at once; the private key stays private and out of the cache
    assert replace(there, existing=None) != plan_again(there)
    assert plan_again(there).cached
    keys = [path for path in there.cache.rglob("*.pem") if path.is_file() and not path.is_symlink()]
    assert not keys
    assert (there.state / "keys/module-signing.pem").stat().st_mode & 0o777 == 0o600


def plan_again(plan: BuildPlan) -> BuildPlan:
    return plan_build(plan.profile, jobs=1, cache=plan.cache, repository=plan.repository)
