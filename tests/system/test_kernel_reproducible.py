"""The real thing, small: the micro kernel built a second time on what looks like another machine, byte for byte the same.

Other folders, another host name, no ccache; and the second build is interrupted half-way by Ctrl-C. The places are made by
mounts in a private namespace: a copy of the sources would take longer than the build.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rastos.host import find_program
from rastos.kernel import BuildPlan, BuiltKernel, built
from rastos.package import LocalRepository
from tests.conftest import ROOT
from tests.micro_kernel import plan_micro
from tests.system.test_kernel import running, wait_for

HALF = 100  # objects of some 700, the host programs among them
SLOW = 600.0  # seconds; a busy machine needs 200


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


@dataclass
class Elsewhere:
    """Another machine: its folders, and `rastos kernel build` there."""

    folder: Path
    here: BuildPlan

    @property
    def cache(self) -> Path:
        return self.folder / "another/place/for the cache".replace(" ", "-") / "kernel"

    @property
    def state(self) -> Path:
        return self.folder / "there"

    @property
    def tree(self) -> Path:
        return self.cache / "build" / self.here.tree.name

    def prepare(self) -> None:
        """The same key for modules, and a place for the sources."""
        shutil.copytree(self.here.state / "keys", self.state / "keys")
        (self.cache / "sources" / self.here.source.id).mkdir(parents=True)

    def start(self) -> subprocess.Popen[str]:
        """The command in namespaces of its own: sources mounted where this cache has them, ccache hidden."""
        sources = [str(self.here.source.tree.parent), str(self.cache / "sources" / self.here.source.id)]
        lines = ["hostname elsewhere.example", shlex.join(["mount", "--bind", *sources])]
        if ccache := find_program("ccache"):
            lines.append(shlex.join(["mount", "--bind", "/dev/null", str(ccache)]))
        command = [sys.executable, "-m", "rastos", "kernel", "build", "--profile", "micro", "--jobs", "3", "--json"]
        lines.append(f"exec {shlex.join(command)}")
        return subprocess.Popen(
            ["unshare", "--mount", "--uts", "sh", "-ec", "\n".join(lines)],
            cwd=ROOT,
            env={
                **os.environ,
                "RASTOS_CACHE": str(self.cache.parent),
                "RASTOS_STATE": str(self.state),
                "RASTOS_PROFILES": str(ROOT / "tests/kernels"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def objects(self) -> int:
        return sum(1 for _ in self.tree.rglob("*.o")) if self.tree.is_dir() else 0


def words_in(path: Path, words: list[str]) -> list[str]:
    content = path.read_bytes()
    return [word for word in words if word.encode() in content]


def test_interrupted_and_elsewhere_and_still_the_same_bytes(micro_kernel: BuiltKernel, tmp_path: Path) -> None:
    here = plan_micro()
    there = Elsewhere(tmp_path, here)
    there.prepare()
    repository = LocalRepository(there.state / "repository")

    first = there.start()
    wait_for(lambda: there.objects() >= HALF or first.poll() is not None, SLOW)
    assert first.poll() is None, first.communicate()[1]
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 130, said
    assert not running(str(there.tree)), "no compiler outlives the command"
    assert not built(there.cache, repository)
    left = there.objects()
    assert left < 2 * HALF, "stopped at once"

    second = there.start()
    out, said = second.communicate(timeout=SLOW)
    assert second.returncode == 0, said
    assert "continuing:" in said
    made = json.loads(out)
    assert not (there.cache / "ccache").exists(), "it was compiled, not remembered"
    assert made["release"] == micro_kernel.release
    ours = {
        micro_kernel.package.name: micro_kernel.package,
        **{item.path.name: item.path for item in micro_kernel.others},
    }
    theirs = {Path(item["package" if "package" in item else "path"]) for item in (made, *made["others"])}
    assert {path.name for path in theirs} == set(ours)
    assert len(ours) == 3, "kernel, headers, debug"
    for number, path in enumerate(sorted(theirs)):
        if path.read_bytes() != ours[path.name].read_bytes():
            (work := tmp_path / f"differ{number}").mkdir()
            pytest.fail(f"{path.name}\n{difference(ours[path.name], path, work)}")

    # nothing of this machine is in what was made, and the private key stays private and out of the cache
    places = [str(there.cache), str(there.state), str(here.cache), "elsewhere.example"]
    for number, path in enumerate(sorted(theirs)):
        (into := tmp_path / f"unpacked{number}").mkdir()
        subprocess.run(["bsdtar", "-xf", path, "-C", into], check=True)
        for file in (file for file in into.rglob("*") if file.is_file() and not file.is_symlink()):
            assert not words_in(file, places), file
    assert not [path for path in there.cache.rglob("*.pem") if path.is_file() and not path.is_symlink()]
    assert (there.state / "keys/module-signing.pem").stat().st_mode & 0o777 == 0o600

    third = there.start()  # nothing changed: no make
    assert json.loads(third.communicate(timeout=60)[0])["cached"]
